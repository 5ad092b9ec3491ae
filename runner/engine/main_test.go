package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"squall/runner/record"
	"squall/runner/roletest"
	"squall/runner/targets/process"
)

// The test binary is also squall (supervise, proxy), the services of the system
// under test, and the load generator.
func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		"supervise": func([]string) error {
			return process.Supervise(context.Background(), process.SuperviseConfig{In: os.Stdin, Out: os.Stdout})
		},
		"proxy": roletest.Proxy,
		"serve": roleServe,
		"run":   roleGenerator,
	}
	roletest.Main(m, roles)
}

// roleServe is a service. Asked for /work it asks the services behind NEXT_URL,
// one after the other until one answers; without any it answers itself. Its
// books are a file that all instances share.
func roleServe(args []string) error {
	var next []string
	if urls := os.Getenv("NEXT_URL"); urls != "" {
		next = strings.Split(urls, ",")
	}
	var served, refused atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE served_total counter\nserved_total %d\n# TYPE refused_total counter\nrefused_total %d\n", served.Load(), refused.Load())
	})
	mux.HandleFunc("/audit", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"key":"opening","id":%q,"effect":1,"state":"done"}]`, os.Getenv("DATA"))
	})
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		for i := range next {
			url := next[(int(served.Load())+i)%len(next)]
			if ask(r.Context(), url, r.Header.Get("X-Request-Id")) == nil {
				return
			}
		}
		if len(next) > 0 {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return http.ListenAndServe(args[0], mux)
}

// client repeats nothing by itself, as it would on a kept connection that died.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func ask(ctx context.Context, url, op string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/work", nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Request-Id", op)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// line is one line of a generator's stream, as package load reads it.
type line struct {
	Scrape *record.Scrape    `json:"scrape,omitempty"`
	Op     *record.Operation `json:"op,omitempty"`
}

// roleGenerator streams as k6 does: SQUALL_ARRIVAL operations a second on the
// instances of FRONT_URL in turn, until it is interrupted.
func roleGenerator([]string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT)
	rate, err := strconv.Atoi(os.Getenv("SQUALL_ARRIVAL"))
	if err != nil {
		return err
	}
	fronts := strings.Split(os.Getenv("FRONT_URL"), ",")
	out := json.NewEncoder(os.NewFile(3, "stream"))
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			syscall.Exit(105)
		case <-tick.C:
		}
		op := record.Operation{At: time.Now().UnixNano(), Name: "work", ID: fmt.Sprintf("op-%d", n), First: true, Outcome: record.OK}
		if ask(context.Background(), fronts[n%len(fronts)], op.ID) != nil {
			op.Outcome = record.Failed
		}
		op.Dur = time.Now().UnixNano() - op.At
		if err := out.Encode(line{Op: &op}); err != nil {
			return err
		}
		if err := out.Encode(line{Scrape: iterations(n)}); err != nil {
			return err
		}
	}
}

func iterations(n int) *record.Scrape {
	s := &record.Scrape{At: time.Now().UnixNano(), Source: "k6", Up: true,
		V: []record.Value{{ID: 1, V: record.Float(n)}}, H: []record.HistValue{{ID: 2, Schema: 0, Count: uint64(n), Pos: []record.Bucket{{0, int64(n)}}}}}
	if n == 1 {
		s.New = []record.Series{
			{ID: 1, Type: "counter", Labels: map[string]string{"__name__": "k6_iterations_total"}},
			{ID: 2, Type: "histogram", Labels: map[string]string{"__name__": "k6_http_req_duration_seconds"}},
		}
	}
	return s
}
