//go:build k6

package load

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// script closes each operation as the reply says; 418 leaves it open.
const script = `
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    gets: {
      executor: 'ramping-arrival-rate', timeUnit: '1m', stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) / 2), gracefulStop: '5s',
    },
  },
};

export default function () {
  const op = operation('get');
  const res = http.get(__ENV.URL, { headers: op.headers(), tags: { name: 'get' } });
  if (res.status === 200) op.ok();
  else if (res.status === 409) op.failed('409');
  else if (res.status !== 418) op.unknown(res.error);
}
`

// theirs is a server that decides each operation and remembers what it decided.
type theirs struct {
	*httptest.Server
	mu      sync.Mutex
	decided map[string]record.Outcome
	open    map[net.Conn]bool
	arrived chan struct{} // one token when the first request is there
}

func serve(t *testing.T, decide func(n int, w http.ResponseWriter, r *http.Request) record.Outcome) *theirs {
	s := &theirs{decided: map[string]record.Outcome{}, open: map[net.Conn]bool{}, arrived: make(chan struct{}, 1)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.decided)
		id := r.Header.Get("X-Request-Id")
		s.decided[id] = record.Unknown
		s.mu.Unlock()
		select {
		case s.arrived <- struct{}{}:
		default:
		}
		outcome := decide(n, w, r)
		s.mu.Lock()
		s.decided[id] = outcome
		s.mu.Unlock()
	}))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[c] = true; state == http.StateClosed || state == http.StateHijacked {
			delete(s.open, c)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *theirs) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// byTurns gives every outcome, and leaves some operations open.
func byTurns(n int, w http.ResponseWriter, _ *http.Request) record.Outcome {
	switch n % 4 {
	case 0:
		w.WriteHeader(http.StatusOK)
		return record.OK
	case 1:
		w.WriteHeader(http.StatusConflict)
		return record.Failed
	case 2:
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusTeapot)
	}
	return record.Unknown
}

func generator(t *testing.T, url string, longest time.Duration) Config {
	t.Helper()
	k6 := os.Getenv("SQUALL_K6")
	require.NotEmpty(t, k6, "SQUALL_K6: path of k6 with the extension; runner/load/xk6-squall/build prints it")
	path := filepath.Join(t.TempDir(), "script.js")
	require.NoError(t, os.WriteFile(path, []byte(script), 0o600))
	return Config{Binary: k6, Script: path, Env: map[string]string{"URL": url}, Arrival: 40, Duration: longest, Seed: 1}
}

func startK6(t *testing.T, cfg Config, sink Sink) *Process {
	t.Helper()
	p, err := Start(cfg, sink)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.Done()
	})
	return p
}

func outcomes(ops []record.Operation) map[string]record.Outcome {
	m := map[string]record.Outcome{}
	for _, o := range ops {
		m[o.ID] = o.Outcome
	}
	return m
}

// What k6 says is what the server saw: every operation once, with its outcome,
// and one observation for each request.
func TestK6CountsWhatTheServerSaw(t *testing.T) {
	srv := serve(t, byTurns)
	sink := &memory{}
	p := startK6(t, generator(t, srv.URL, 2*time.Second), sink)
	wait(t, "flowing", p.Flowing())
	wait(t, "end of the script", p.Done())
	require.ErrorContains(t, p.Err(), "exit status 0", "ended before it was stopped")

	require.Greater(t, len(srv.decided), 40)
	assert.Equal(t, srv.decided, outcomes(sink.ops))
	assert.Len(t, sink.ops, len(srv.decided), "no operation twice")
	assert.Zero(t, sink.lost)

	counted, durations := totals(sink.scrapes)
	want := map[string]float64{}
	for _, o := range srv.decided {
		want[string(o)]++
	}
	assert.Equal(t, want, counted)
	assert.Equal(t, uint64(len(srv.decided)), durations)
}

// Rates are jumped to, at their instants after the first iteration.
func TestK6ChangesItsRate(t *testing.T) {
	srv := serve(t, func(int, http.ResponseWriter, *http.Request) record.Outcome { return record.OK })
	sink := &memory{}
	cfg := generator(t, srv.URL, 4*time.Second)
	cfg.Arrival, cfg.Stages = 20, []record.Stage{{At: time.Second, Arrival: 80}, {At: 3 * time.Second, Arrival: 20}}
	p := startK6(t, cfg, sink)
	wait(t, "end of the script", p.Done())

	require.NotEmpty(t, sink.ops)
	first := sink.ops[0].At
	for _, o := range sink.ops {
		first = min(first, o.At)
	}
	var perSecond [5]int
	for _, o := range sink.ops {
		perSecond[min((o.At-first)/int64(time.Second), 4)]++
	}
	for i, want := range []int{20, 80, 80, 20} {
		assert.InDelta(t, want, perSecond[i], 8, "second %d of %v", i, perSecond)
	}
}

// totals are the last values of operations by outcome, and of the histograms of requests.
func totals(scrapes []record.Scrape) (operations map[string]float64, requests uint64) {
	labels := map[uint32]map[string]string{}
	operations = map[string]float64{}
	counts := map[uint32]uint64{}
	for _, s := range scrapes {
		for _, n := range s.New {
			labels[n.ID] = n.Labels
		}
		for _, v := range s.V {
			if l := labels[v.ID]; l["__name__"] == "squall_operations_total" {
				operations[l["outcome"]] = float64(v.V)
			}
		}
		for _, h := range s.H {
			if labels[h.ID]["__name__"] == "k6_http_req_duration_seconds" {
				counts[h.ID] = h.Count
			}
		}
	}
	for _, n := range counts {
		requests += n
	}
	return operations, requests
}

// What is under way when the load stops may have happened: it is unknown, not missing.
func TestK6ReportsWhatStopCutOff(t *testing.T) {
	srv := serve(t, func(_ int, _ http.ResponseWriter, r *http.Request) record.Outcome {
		<-r.Context().Done() // until k6 hangs up
		return record.Unknown
	})
	sink := &memory{}
	cfg := generator(t, srv.URL, time.Minute)
	cfg.Arrival = 4
	p := startK6(t, cfg, sink)
	wait(t, "request", srv.arrived)
	code, err := p.Stop(t.Context())
	require.NoError(t, err)
	assert.Equal(t, stoppedCode, code)
	require.NotEmpty(t, sink.ops)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for id := range srv.decided {
		assert.Equal(t, record.Unknown, outcomes(sink.ops)[id])
	}
	counted, _ := totals(sink.scrapes)
	assert.Equal(t, map[string]float64{"unknown": float64(len(sink.ops))}, counted)
}

func TestK6ScriptErrorIsTold(t *testing.T) {
	cfg := generator(t, "http://127.0.0.1:1", time.Second)
	require.NoError(t, os.WriteFile(cfg.Script, []byte("export default function () { nonsense }; absent()"), 0o600))
	p := startK6(t, cfg, &memory{})
	wait(t, "end", p.Done())
	assert.ErrorContains(t, p.Err(), "the script threw an exception")
	assert.ErrorContains(t, p.Err(), "absent is not defined")
}

func init() {
	roles["runner"] = func() {
		p, err := Start(Config{
			Binary: os.Getenv("SQUALL_K6"), Script: os.Getenv("SCRIPT"),
			Env: map[string]string{"URL": os.Getenv("URL")}, Arrival: 40, Duration: time.Minute,
		}, &memory{})
		if err != nil {
			panic(err)
		}
		<-p.Done()
	}
}

// k6 goes with the runner even if the runner has no time to say goodbye.
func TestK6EndsWithItsRunner(t *testing.T) {
	srv := serve(t, byTurns)
	cfg := generator(t, srv.URL, time.Minute)
	runner := exec.Command(os.Args[0])
	runner.Env = []string{roleVar + "=runner", "SQUALL_K6=" + cfg.Binary, "SCRIPT=" + cfg.Script, "URL=" + srv.URL}
	require.NoError(t, runner.Start())
	wait(t, "request", srv.arrived)
	assert.Positive(t, srv.connections())
	require.NoError(t, runner.Process.Kill())
	require.Error(t, runner.Wait())
	assert.Eventually(t, func() bool { return srv.connections() == 0 }, patience, 10*time.Millisecond,
		"k6 still holds its connections")
}
