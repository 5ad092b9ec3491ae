package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// Every trap of Toxiproxy 2.12 that users have fallen into has its test: those
// here, and, where the feature is tested anyway,
//
//	replies lost after a half-close      TestHalfClose
//	a seed that does nothing             TestToxicityIsDrawnFromTheSeed
//	no choice per request                TestHTTPRulesChoose
//	a dead upstream looks alive          TestDeadUpstreamResetsCaller
//	bytes lost when toxics change        TestSwitchingLosesNothing, TestRandomChangesUnderTraffic

// flood serves without end.
func flood(nc *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		if _, err := nc.Write(buf); err != nil {
			return
		}
	}
}

// stalled is a connection to an endless stream whose reader has stopped: all
// buffers on the way are full.
func (r *rig) stalled(stage string) *net.TCPConn {
	nc := r.dial()
	var hits uint64
	still := 0
	eventually(r.t, func() bool {
		last := hits
		if hits = r.status(stage).Receipt.Hits; hits != last {
			still = 0
		}
		still++
		return hits > 1<<20 && still > 100
	}, "the client's buffers are full")
	return nc
}

// In stock, one client that stops reading freezes every change of the proxy
// for good, also after it has left, and with them /reset.
func TestTrapClientThatStopsReading(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, flood), Options{})
	r.put("slow", toxicStageOf("bandwidth", "downstream", `{"rate":1000000}`))
	nc := r.stalled("slow")
	start := time.Now()
	changes := func() {
		r.put("slow", latency("1")) // another toxic, another setting, none
		r.put("slow", latency("2"))
		r.remove("slow")
		r.put("slow", latency("1"))
		require.NoError(t, toxiproxy.NewClient(r.base).ResetState())
	}
	changes()
	nc.Close()
	changes()
	assert.Less(t, time.Since(start), 2*time.Second)
	_, err := io.ReadFull(r.dial(), make([]byte, 1<<20))
	assert.NoError(t, err, "new connections are served as ever")
}

// A busy connection without a toxic is spliced by the kernel. When its reader
// has stopped, nothing more is read of it, and a change need not wait.
func TestTrapSplicedClientThatStopsReading(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, flood), Options{})
	nc := r.dial()
	_, err := io.CopyN(io.Discard, nc, 64<<20)
	require.NoError(t, err)
	down := &r.server.links["edge"].live()[0].down
	eventually(t, func() bool { return down.splicing.Load() && down.gen.Load() == 0 }, "it is spliced")
	start := time.Now()
	r.put("slow", latency("1"))
	assert.Less(t, time.Since(start), time.Second)
	eventually(t, func() bool {
		io.CopyN(io.Discard, nc, 1<<20) // reads on
		return r.status("slow").Receipt.Hits > 0
	}, "the change bites")
}

// In stock, removing a toxic gives up a chunk that its client does not take.
func TestTrapRemovalLosesNothing(t *testing.T) {
	const size = 24 << 20
	sent := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(sent)
	r := newRig(t, "tcp", tcpServer(t, func(nc *net.TCPConn) {
		nc.Write(sent)
		nc.CloseWrite()
	}), Options{})
	r.put("slow", latency("1"))
	nc := r.stalled("slow")
	r.remove("slow")
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))
}

// In stock, an aborted download leaves goroutines and 100 KB behind.
func TestTrapAbortedDownloadsLeaveNothing(t *testing.T) {
	for name, s := range map[string]*faults.Stage{
		"no toxic":   nil,
		"latency":    new(latency("5")),
		"limit_data": new(toxicStageOf("limit_data", "downstream", `{"bytes":100000}`)),
		"reset_peer": new(toxicStageOf("reset_peer", "downstream", `{"timeout":5}`)),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "tcp", tcpServer(t, flood), Options{})
			if s != nil {
				r.put("x", *s)
			}
			before := runtime.NumGoroutine()
			for range 50 {
				nc, err := net.Dial("tcp", r.addr)
				if err != nil {
					assert.ErrorIs(t, err, syscall.ECONNRESET) // may come before Dial returns
					continue
				}
				nc.Read(make([]byte, 1000))
				nc.(*net.TCPConn).SetLinger(0)
				nc.Close()
			}
			l := r.server.links["edge"]
			eventually(t, func() bool { return len(l.live()) == 0 && runtime.NumGoroutine() < before+10 },
				"connections and goroutines are gone")
		})
	}
}

// In stock, the accept loop dials: while an upstream does not answer, nobody
// else is served, and its recovery is seen seconds late.
func TestTrapDialHoldsNobodyUp(t *testing.T) {
	// The kernel sends the first one's SYN again after 1 s: who waits for that is
	// held up by it. A busy machine may take as long once.
	var took time.Duration
	for range 5 {
		if took = besideADial(t); took < 900*time.Millisecond {
			return
		}
	}
	assert.Fail(t, "changes and the second connection wait for the first one's dial", took)
}

// besideADial is how long changes and a second connection take while a first one dials.
func besideADial(t *testing.T) time.Duration {
	up := newDeafServer(t)
	r := newRig(t, "tcp", up.addr, Options{})
	first := r.dial()
	defer first.Close()
	l := r.server.links["edge"]
	eventually(t, func() bool { return len(l.live()) == 1 }, "the first connection dials")
	start := time.Now()
	r.put("x", latency("1"))
	r.remove("x")
	up.listen()
	roundTrip(t, r.dial(), "hello")
	return time.Since(start)
}

// deafServer is an echo whose kernel answers no SYN until it listens: its
// backlog is full.
type deafServer struct {
	addr string
	nl   net.Listener
	wg   sync.WaitGroup
}

func newDeafServer(t *testing.T) *deafServer {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	f := os.NewFile(uintptr(fd), "listener")
	nl, err := net.FileListener(f)
	require.NoError(t, err)
	f.Close()
	d := &deafServer{addr: nl.Addr().String(), nl: nl}
	var full []net.Conn
	for { // until the backlog is full
		nc, err := net.DialTimeout("tcp", d.addr, 100*time.Millisecond)
		if err != nil {
			break
		}
		full = append(full, nc)
	}
	t.Cleanup(func() {
		nl.Close()
		for _, nc := range full {
			nc.Close()
		}
		d.wg.Wait()
	})
	return d
}

// listen serves from now on.
func (d *deafServer) listen() {
	d.wg.Go(func() {
		for {
			nc, err := d.nl.Accept()
			if err != nil {
				return
			}
			d.wg.Go(func() { echo(nc.(*net.TCPConn)); nc.Close() })
		}
	})
}

// In stock, reset_peer ends live connections with EOF, and idle ones not at all.
func TestTrapResetPeerResets(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	live, idle := r.dial(), r.dial()
	roundTrip(t, live, "before")
	l := r.server.links["edge"]
	eventually(t, func() bool { return len(l.live()) == 2 }, "both are known")
	p, err := toxiproxy.NewClient(r.base).Proxy("edge")
	require.NoError(t, err)
	_, err = p.AddToxic("cut", "reset_peer", "downstream", 1, toxiproxy.Attributes{"timeout": 20})
	require.NoError(t, err)
	_, err = io.WriteString(live, "during")
	if err == nil { // a socket tells once that it was reset: here, if the toxic was quicker
		_, err = io.ReadAll(live)
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = io.ReadAll(idle)
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	got := r.status(toxicStage("cut")).Receipt
	assert.EqualValues(t, 2, got.Hits)
	assert.Equal(t, "connections", got.Unit)
}

// In stock, an update lets go of all that is delayed, and is a data race.
func TestTrapUpdateDoesNotFlush(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	p, err := toxiproxy.NewClient(r.base).Proxy("edge")
	require.NoError(t, err)
	_, err = p.AddToxic("slow", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 60000})
	require.NoError(t, err)
	start := time.Now()
	io.WriteString(nc, "held")
	eventually(t, func() bool { return r.status(toxicStage("slow")).Receipt.Hits == 4 }, "bytes reach the toxic")
	_, err = p.UpdateToxic("slow", 1, toxiproxy.Attributes{"latency": 300})
	require.NoError(t, err)
	_, err = io.ReadFull(nc, make([]byte, 4))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond, "delayed as if it had always been so")
	assert.Less(t, time.Since(start), 30*time.Second)
	assert.EqualValues(t, 4, r.status(toxicStage("slow")).Receipt.Hits, "what the new setting delays is its own")
}

// In stock, any change draws anew which connections a toxic strikes.
func TestTrapToxicityIsDrawnOnce(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	var conns []*net.TCPConn
	for range 40 {
		conns = append(conns, r.dial())
		roundTrip(t, conns[len(conns)-1], "hello")
	}
	const delay = 300 * time.Millisecond // longer than a busy machine takes without
	some := latency("300")
	some.Toxics[0].Toxicity = 0.5
	r.put("some", some)
	slow := func() (which []int) {
		took := make([]time.Duration, len(conns))
		var wg sync.WaitGroup
		for i, nc := range conns {
			wg.Go(func() {
				start := time.Now()
				roundTrip(t, nc, "hello")
				took[i] = time.Since(start)
			})
		}
		wg.Wait()
		for i, d := range took {
			if d >= delay {
				which = append(which, i)
			}
		}
		return which
	}
	first := slow()
	assert.InDelta(t, 20, len(first), 12)
	again := slow()
	r.put("other", toxicStageOf("slicer", "downstream", `{"average_size":100}`))
	other := slow()
	// A loaded machine makes a fast one slow, never the other way round.
	struck := slices.DeleteFunc(slices.Clone(first), func(i int) bool { return !slices.Contains(again, i) })
	assert.Subset(t, other, struck)
	assert.Less(t, len(struck), 40)
	r.remove("other")
	assert.Subset(t, slow(), struck)
}

// In stock, the metrics learn of bytes when their connection closes.
func TestTrapBytesAreCountedAsTheyPass(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	roundTrip(t, nc, "12345")
	body := func() string {
		resp, err := http.Get(r.base + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(b)
	}
	assert.Contains(t, body(), `squall_proxy_bytes_total{direction="downstream",proxy="edge"} 5`)
	// Also while the kernel splices them.
	go io.CopyN(nc, rand.NewChaCha8([32]byte{}), 8<<20)
	_, err := io.CopyN(io.Discard, nc, 8<<20)
	require.NoError(t, err)
	eventually(t, func() bool { return r.server.links["edge"].bytesDown.Load() == 8<<20+5 }, "exact")
}

// In stock, timeout starts anew with every chunk and never fires under flow;
// and closes its connections when it is removed, harmed or not.
func TestTrapTimeoutFiresUnderFlow(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, flood), Options{})
	nc := r.dial()
	_, err := io.ReadFull(nc, make([]byte, 1<<20))
	require.NoError(t, err)
	r.put("x", toxicStageOf("timeout", "downstream", `{"timeout":100}`))
	start := time.Now()
	_, err = io.Copy(io.Discard, nc)
	assert.NoError(t, err)
	assert.Less(t, time.Since(start), 3*time.Second)
}

func TestTrapRemovedTimeoutSparesTheUnharmed(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	roundTrip(t, nc, "before")
	r.put("x", toxicStageOf("timeout", "downstream", `{"timeout":0}`))
	r.remove("x")
	roundTrip(t, nc, "after")
}

// In stock, latency holds 1,024 chunks of whatever size: 34 MB.
func TestTrapLatencyIsBounded(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, flood), Options{})
	r.put("slow", latency("60000"))
	r.stalled("slow")
	assert.Less(t, r.status("slow").Receipt.Hits, uint64(roomDelay+blockSize))
}

// Stock has no counter per toxic, and nothing tells the delay that was delivered.
func TestTrapDelaysAreMeasured(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	r.put("slow", latency("20"))
	for range 5 {
		roundTrip(t, nc, "x")
	}
	d := r.status("slow").Delay
	require.NotNil(t, d)
	assert.EqualValues(t, 5, d.N)
	assert.GreaterOrEqual(t, d.P50, 19*time.Millisecond) // buckets are 1/16 wide
	assert.GreaterOrEqual(t, d.Max, d.P99)
	assert.GreaterOrEqual(t, d.Sum, 100*time.Millisecond)
	resp, err := http.Get(r.base + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), `squall_proxy_stage_delay_seconds_count{proxy="edge",stage="slow"} 5`)
	assert.Contains(t, string(body), `squall_proxy_stage_delay_seconds{proxy="edge",stage="slow",quantile="0.99"} 0.0`)
}

// In stock, /reset wipes everybody's toxics.
func TestTrapResetIsOfItsOwner(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	mine := latency("1")
	mine.Owner = "run-1"
	r.put("mine", mine)
	c := toxiproxy.NewClient(r.base)
	p, err := c.Proxy("edge")
	require.NoError(t, err)
	_, err = p.AddToxic("theirs", "latency", "upstream", 1, toxiproxy.Attributes{"latency": 1})
	require.NoError(t, err)
	require.NoError(t, c.ResetState())
	r.status("mine") // is there
	_, err = r.link.StageStatus(r.ctx, toxicStage("theirs"))
	assert.ErrorIs(t, err, faults.ErrNoStage)
}

// Stock takes any number for a setting.
func TestTrapSettingsAreChecked(t *testing.T) {
	for _, tt := range []struct{ kind, attributes, says string }{
		{"latency", `{"latency":-1}`, "latency -1 is negative"},
		{"latency", `{"jitter":-0.5}`, "jitter -0.5 is negative"},
		{"latency", `{"distribution":"gauss"}`, `unknown distribution "gauss"`},
		{"bandwidth", `{"rate":-1}`, "rate -1 is negative"},
		{"slicer", `{"average_size":10,"size_variation":10}`, "must be below average_size"},
		{"limit_data", `{"bytes":-1}`, "bytes -1 is negative"},
		{"slow_close", `{"delay":-1}`, "delay -1 is negative"},
		{"timeout", `{"timeout":-1}`, "timeout -1 is negative"},
		{"reset_peer", `{"timeout":-1}`, "timeout -1 is negative"},
	} {
		_, err := newToxic(faults.Toxic{Type: tt.kind, Attributes: json.RawMessage(tt.attributes)}, nil, "")
		assert.ErrorContains(t, err, tt.says)
	}
}
