package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// choosing makes a stage that stands on no link, to ask what it decides.
func choosing(t *testing.T, s faults.Stage) *stage {
	t.Helper()
	st, err := newStage("s", s, ProtocolHTTP)
	require.NoError(t, err)
	newTallies().join(&link{}, st)
	return st
}

// fires tells whether a request is hit.
func (s *stage) fires(method, path string) bool {
	return decide([]*stage{s}, call{method: method, path: path}).act.stage != nil
}

func TestProbabilityIsDeterministic(t *testing.T) {
	chosen := func(seed uint64) (out []bool) {
		s := rule(faults.HTTPAbort, faults.Match{Probability: 0.25})
		s.Seed = seed
		st := choosing(t, s)
		for range 2000 {
			out = append(out, st.fires("GET", "/"))
		}
		return out
	}
	assert.Equal(t, chosen(1), chosen(1))
	assert.NotEqual(t, chosen(1), chosen(2))
	hits := 0
	for _, hit := range chosen(3) {
		if hit {
			hits++
		}
	}
	assert.InDelta(t, 500, hits, 70)
}

func TestMatch(t *testing.T) {
	tests := []struct {
		name  string
		match faults.Match
		want  string // which of six GET requests to /a/b are chosen
	}{
		{"all", faults.Match{}, "111111"},
		{"first", faults.Match{First: 2}, "110000"},
		{"every", faults.Match{Every: 3}, "001001"},
		{"both", faults.Match{First: 4, Every: 2}, "010100"},
		{"from", faults.Match{From: 3}, "001111"},
		{"first counts from there", faults.Match{From: 3, First: 2}, "001100"},
		{"every counts from there", faults.Match{From: 2, Every: 2}, "001010"},
		{"method", faults.Match{Method: "POST"}, "000000"},
		{"path", faults.Match{Path: "/a/*"}, "111111"},
		{"one level", faults.Match{Path: "/*"}, "000000"},
		{"any rest", faults.Match{Path: "/**"}, "111111"},
		{"rest of a", faults.Match{Path: "/a/**"}, "111111"},
		{"no rest", faults.Match{Path: "/a/b/**"}, "111111"},
		{"pattern before the rest", faults.Match{Path: "/?/**"}, "111111"},
		{"deeper", faults.Match{Path: "/a/b/c/**"}, "000000"},
		{"other", faults.Match{Path: "/ab/**"}, "000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := choosing(t, rule(faults.HTTPAbort, tt.match))
			got := ""
			for range 6 {
				if st.fires("GET", "/a/b") {
					got += "1"
				} else {
					got += "0"
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// another edge of the rig's server.
func (r *rig) another(name, edge, service, protocol, upstream string) (faults.Link, string) {
	r.t.Helper()
	p, err := r.client.CreateProxy(r.ctx, Proxy{
		Name: name, Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true, Protocol: protocol, Edge: edge, Service: service,
	})
	require.NoError(r.t, err)
	return r.client.Link(name, edge), p.Listen
}

func dialTo(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	return nc.(*net.TCPConn)
}

// isCut tells whether a connection has been reset; it sends what the other side echoes.
func isCut(t *testing.T, nc net.Conn) bool {
	t.Helper()
	nc.Write([]byte("x"))
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := nc.Read(make([]byte, 1))
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	return err != nil
}

func TestConnectionsAreChosen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		match faults.Match
		cap   uint64
		want  string // of three live connections and three new ones
	}{
		{"all", faults.Match{}, 0, "111111"},
		{"first", faults.Match{First: 2}, 0, "110000"},
		{"from", faults.Match{From: 3, First: 2}, 0, "001100"},
		{"every", faults.Match{Every: 2}, 0, "010101"},
		{"cap", faults.Match{From: 2}, 3, "011100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "tcp", tcpServer(t, echo), Options{})
			var conns []net.Conn
			for range 3 {
				conns = append(conns, r.dial())
				require.False(t, isCut(t, conns[len(conns)-1]))
			}
			r.put("cut", faults.Stage{Reset: true, Match: tt.match, Cap: tt.cap})
			got := ""
			for i := range 6 {
				var err error
				if i >= 3 {
					var nc net.Conn
					nc, err = net.Dial("tcp", r.addr) // may be cut before it knows that it stands
					conns = append(conns, nc)
				}
				if err != nil || isCut(t, conns[i]) {
					got += "1"
				} else {
					got += "0"
				}
				if err == nil {
					conns[i].Close()
				}
			}
			assert.Equal(t, tt.want, got)
			assert.EqualValues(t, strings.Count(tt.want, "1"), r.status("cut").Receipt.Hits)
			r.put("hang", faults.Stage{Mode: faults.LinkHang, Match: faults.Match{First: 1}})
			r.remove("hang")
			r.remove("cut")
			assert.False(t, isCut(t, r.dial()), "it has gone")
		})
	}
}

// Toxics and silence are for chosen connections too, and the log says which.
func TestActsOnConnectionsAreLogged(t *testing.T) {
	r, c := httpRig(t, okHandler)
	next := r.wire()
	s := latency("30")
	s.Match.First = 1
	r.put("lat", s)
	other := newHTTPClient(t)
	for _, want := range [][]Act{{{"lat", 1, "latency"}}, nil} {
		start := time.Now()
		status, _ := get(c, "http://"+r.addr+"/")
		require.Equal(t, 200, status)
		assert.Equal(t, want != nil, time.Since(start) >= 30*time.Millisecond)
		assert.Equal(t, want, next().Acts)
		c = other
	}
}

func TestCapIsExactUnderConcurrency(t *testing.T) {
	r, c := httpRig(t, okHandler)
	link, addr := r.another("edge2", "a -> b2", "", ProtocolHTTP, r.upstreamOf("edge"))
	s := rule(faults.HTTPStatus, faults.Match{Probability: 0.7})
	s.Cap = 17
	r.put("s", s)
	require.NoError(t, link.PutStage(r.ctx, "s", s))
	var hit atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 10 {
				if status, _ := get(c, "http://"+[]string{r.addr, addr}[i%2]+"/"); status == 503 {
					hit.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 17, hit.Load())
	st, err := link.StageStatus(r.ctx, "s")
	require.NoError(t, err)
	assert.EqualValues(t, 17, r.status("s").Receipt.Hits+st.Receipt.Hits)
}

func (r *rig) upstreamOf(name string) string {
	r.t.Helper()
	all, err := r.client.Proxies(r.ctx)
	require.NoError(r.t, err)
	return all[name].Upstream
}

// A fault on several links counts over all of them, and begins anew when it has
// gone from all.
func TestIndexesAreOfTheFault(t *testing.T) {
	r, c := httpRig(t, okHandler)
	link, addr := r.another("edge2", "a -> b2", "", ProtocolHTTP, r.upstreamOf("edge"))
	s := rule(faults.HTTPStatus, faults.Match{Every: 3})
	ask := func() (got []int) {
		for i := range 6 {
			status, _ := get(c, "http://"+[]string{r.addr, addr}[i%2]+"/")
			got = append(got, status)
		}
		return got
	}
	for range 2 {
		r.put("s", s)
		require.NoError(t, link.PutStage(r.ctx, "s", s))
		assert.Equal(t, []int{200, 200, 503, 200, 200, 503}, ask())
		r.remove("s")
		require.NoError(t, link.DeleteStage(r.ctx, "s"))
	}
	assert.Nil(t, r.tally("s"), "nothing is kept")
	r.put("s", s)
	require.NoError(t, link.PutStage(r.ctx, "s", s))
	get(c, "http://"+r.addr+"/")
	require.NoError(t, r.client.DeleteProxy(r.ctx, "edge2"))
	r.remove("s")
	assert.Nil(t, r.tally("s"), "nor when a link goes with its stages")
}

func TestTrigger(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trigger faults.Trigger
		paths   string // what is asked for at the other edge, one after the other
		fires   int    // by which of them; 0: by none
	}{
		{"any", faults.Trigger{Edge: "a -> b"}, "/ok", 1},
		{"status", faults.Trigger{Edge: "a -> b", Status: "503", Count: 2}, "/503 /ok /500 /503 /503", 4},
		{"class", faults.Trigger{Edge: "a -> b", Status: "5xx", Count: 3}, "/503 /ok /500 /404 /503", 5},
		{"error", faults.Trigger{Edge: "a -> b", Error: "reset", Path: "/cut"}, "/ok /cut", 2},
		{"path", faults.Trigger{Edge: "a -> b", Path: "/5*", Status: "5xx"}, "/404 /503", 2},
		{"method", faults.Trigger{Edge: "a -> b", Method: "POST"}, "/ok /503", 0},
		{"by instance", faults.Trigger{Edge: "a-1 -> b"}, "/ok", 1},
		{"another instance", faults.Trigger{Edge: "a-2 -> b"}, "/ok", 0},
		{"another edge", faults.Trigger{Edge: "b -> a"}, "/ok", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
				code, _ := strconv.Atoi(strings.Trim(req.URL.Path, "/"))
				w.WriteHeader(max(code, 200))
			})
			cut := rule(faults.HTTPAbort, faults.Match{Path: "/cut"})
			link, addr := r.another("seen", "a-1 -> b-1", "a -> b", ProtocolHTTP, r.upstreamOf("edge"))
			require.NoError(t, link.PutStage(r.ctx, "cut", cut))
			s := rule(faults.HTTPStatus, faults.Match{First: 1})
			s.After = &tt.trigger
			r.put("s", s)
			_, tcp := r.another("plain", "x -> y", "", "tcp", tcpServer(t, echo))
			early := dialTo(t, tcp)
			require.False(t, isCut(t, early))
			require.NoError(t, r.client.Link("plain", "x -> y").PutStage(r.ctx, "reset", faults.Stage{Reset: true, After: &tt.trigger}))
			require.False(t, isCut(t, early), "asleep")
			assert.Contains(t, r.status("s").Receipt.Note, "asleep")
			hit := 0
			for i, path := range strings.Fields(tt.paths) {
				get(c, "http://"+addr+path)
				if status, _ := get(c, "http://"+r.addr+"/ok"); status == 503 {
					hit = i + 1
				}
			}
			assert.Equal(t, tt.fires, hit)
			if tt.fires > 0 {
				assert.True(t, isCutSoon(early), "a stage on connections wakes up too")
			} else {
				assert.False(t, isCut(t, early))
			}
		})
	}
}

// isCutSoon waits for the end of an idle connection.
func isCutSoon(nc net.Conn) bool {
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := nc.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNRESET)
}

func TestRampOfRequestsGrowsInShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rule(faults.HTTPStatus, faults.Match{Probability: 0.8})
		s.Ramp = 10 * time.Second
		st := choosing(t, s)
		for _, want := range []float64{0, 0.2, 0.4, 0.6, 0.8, 0.8} {
			hits := 0
			for range 4000 {
				if st.fires("GET", "/") {
					hits++
				}
			}
			assert.InDelta(t, 4000*want, hits, 130)
			time.Sleep(2500 * time.Millisecond)
		}
	})
}

func TestRampOfDelaysGrowsInSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rule(faults.HTTPDelay, faults.Match{})
		s.HTTP.Delay, s.Ramp = time.Second, 10*time.Second
		st := choosing(t, s)
		time.Sleep(2500 * time.Millisecond)
		d := decide([]*stage{st}, call{})
		require.Len(t, d.delays, 1, "every request waits")
		assert.Equal(t, 250*time.Millisecond, d.delays[0].delay())
		time.Sleep(20 * time.Second)
		assert.Equal(t, time.Second, d.delays[0].delay())
	})
}

// Live connections are cut one after the other while a ramp grows, and all at its end.
func TestRampOfConnections(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	var conns []net.Conn
	for range 40 {
		conns = append(conns, r.dial())
		require.False(t, isCut(t, conns[len(conns)-1]))
	}
	r.put("cut", faults.Stage{Reset: true, Ramp: 500 * time.Millisecond, Seed: 1})
	eventually(t, func() bool { n := r.status("cut").Receipt.Hits; return n > 0 && n < 40 }, "some are cut before others")
	eventually(t, func() bool { return r.status("cut").Receipt.Hits == 40 }, "in the end all are")
}

// A connection that waits for bytes meets what the ramp brought as soon as they come.
func TestRampReachesIdleConnections(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	var conns []net.Conn
	for range 20 {
		conns = append(conns, r.dial())
		require.False(t, isCut(t, conns[len(conns)-1]))
	}
	s := toxicStageOf("limit_data", "upstream", `{"bytes":0}`)
	s.Ramp, s.Seed = 100*time.Millisecond, 1
	r.put("cut", s)
	l, err := r.server.link("edge")
	require.NoError(t, err)
	eventually(t, func() bool { return !l.current().growing }, "the ramp ends")
	eventually(t, func() bool { _, pending := l.switched(l.current().gen); return pending == 0 }, "all have switched")
	for _, nc := range conns {
		assert.True(t, isCut(t, nc))
	}
}

// The decisions of two runs of the same requests with the same seed are equal.
func TestDecisionLogIsReproducible(t *testing.T) {
	run := func(seed uint64) (decisions []string) {
		r, c := httpRig(t, okHandler)
		next := r.wire()
		put := func(id string, s faults.Stage) {
			s.Seed = seed
			r.put(id, s)
		}
		put("some", rule(faults.HTTPStatus, faults.Match{Path: "/a", Probability: 0.4}))
		slow := rule(faults.HTTPDelay, faults.Match{Every: 3})
		slow.HTTP.Delay, slow.HTTP.Jitter = time.Millisecond, time.Millisecond/2
		put("slow", slow)
		put("lost", rule(faults.HTTPLoseReply, faults.Match{Path: "/b", Probability: 0.3}))
		put("bad", act(faults.HTTPRule{Action: faults.HTTPCorrupt, Bytes: 2}))
		lat := latency("1")
		lat.Match.Probability = 0.5
		put("lat", lat)
		for i := range 60 {
			get(c, "http://"+r.addr+"/"+string("ab"[i%2]))
		}
		decisions = make([]string, 60)
		for range decisions { // a line may overtake that of a connection which ends
			e := next()
			decisions[e.N-1] = fmt.Sprint(e.Path, e.Status, e.Error, e.Acts)
		}
		return decisions
	}
	first := run(1)
	assert.Equal(t, first, run(1))
	assert.NotEqual(t, first, run(2))
}
