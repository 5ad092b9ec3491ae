package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A thousand random changes, through our API and Toxiproxy's, while streams and
// requests pass: nothing is lost or reordered, and no connection is replaced.
func TestRandomChangesUnderTraffic(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { r.stream(&done) })
	for range 8 {
		nc := r.dial()
		wg.Go(func() {
			for !done.Load() {
				roundTrip(t, nc, "a request on a connection that is kept")
			}
		})
	}
	func() {
		defer wg.Wait()
		defer done.Store(true) // also where a change is refused
		r.changes(1000)
	}()
	assert.EqualValues(t, 9, r.server.links["edge"].connections.Load(), "no connection was replaced")
}

// stream echoes numbered words until done and compares what comes back.
func (r *rig) stream(done *atomic.Bool) {
	nc := r.dial()
	var sent, got int64
	var wg sync.WaitGroup
	wg.Go(func() {
		var src words
		for !done.Load() {
			n, err := io.CopyN(nc, &src, 64<<10)
			sent += n
			if !assert.NoError(r.t, err) {
				return
			}
		}
		assert.NoError(r.t, nc.CloseWrite())
	})
	var want words
	var buf, as [32 << 10]byte
	for {
		nc.SetReadDeadline(time.Now().Add(patience))
		n, err := nc.Read(buf[:])
		want.Read(as[:n])
		if !bytes.Equal(as[:n], buf[:n]) {
			at := 0
			for as[at] == buf[at] {
				at++
			}
			assert.Fail(r.t, "the stream differs", "after %d bytes came\n% x\ninstead of\n% x", got+int64(at), buf[at:min(n, at+64)], as[at:min(n, at+64)])
			break
		}
		if got += int64(n); err != nil {
			assert.ErrorIs(r.t, err, io.EOF)
			break
		}
	}
	nc.Close() // where it broke before its end, the writer would wait for ever
	wg.Wait()
	assert.Equal(r.t, sent, got, "all came back")
	assert.Greater(r.t, got, int64(1<<20), "bytes flowed meanwhile")
}

// words is an endless stream in which every 8 bytes say how many words came
// before: bytes in the wrong place tell where they belong.
type words struct{ at uint64 }

func (w *words) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(w.at / 8 >> (8 * (7 - w.at%8)))
		w.at++
	}
	return len(p), nil
}

// changes makes n random changes of toxics that lose nothing.
func (r *rig) changes(n int) {
	kinds := []struct {
		kind  string
		attrs func(rnd *rand.Rand) string
	}{
		{"latency", func(rnd *rand.Rand) string {
			return pick(rnd, `{"latency":0}`, `{"latency":2,"jitter":2}`, `{"latency":0.3}`)
		}},
		{"bandwidth", func(rnd *rand.Rand) string { return pick(rnd, `{"rate":900000}`, `{"rate":200000}`) }},
		{"slicer", func(rnd *rand.Rand) string { return pick(rnd, `{"average_size":9000,"size_variation":800}`) }},
		{"slow_close", func(rnd *rand.Rand) string { return pick(rnd, `{"delay":3}`) }},
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	stock, err := toxiproxy.NewClient(r.base).Proxy("edge")
	require.NoError(r.t, err)
	for i := range n {
		id := pick(rnd, "a", "b", "c", "d")
		k := kinds[rnd.IntN(len(kinds))]
		dir := pick(rnd, "upstream", "downstream")
		switch {
		case rnd.IntN(3) == 0:
			r.remove(id)
		case i%100 == 99:
			_, err := stock.AddToxic("stock", "latency", dir, 0.5, toxiproxy.Attributes{"latency": 1})
			require.NoError(r.t, err)
			_, err = stock.UpdateToxic("stock", 0.7, toxiproxy.Attributes{"latency": 2})
			require.NoError(r.t, err)
			require.NoError(r.t, stock.RemoveToxic("stock"))
		default:
			s := toxicStageOf(k.kind, dir, k.attrs(rnd))
			s.Toxics[0].Toxicity = pick(rnd, float32(0.5), 1)
			s.Seed = rnd.Uint64()
			r.put(id, s)
		}
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		r.remove(id)
	}
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

// When a change has returned it is in force: not one request on a live
// connection, sent after, escapes a delay, and not one byte meets it when it has gone.
func TestChangesBiteAtOnce(t *testing.T) {
	const delay = time.Second
	for _, conns := range []int{1, 100, 1000} {
		r := newRig(t, "tcp", tcpServer(t, echo), Options{})
		var live []*net.TCPConn
		for range conns {
			nc := r.dial()
			roundTrip(t, nc, "hello")
			live = append(live, nc)
		}
		took := func() []time.Duration { // of a request on each, all at once
			all := make([]time.Duration, conns)
			var wg sync.WaitGroup
			for i, nc := range live {
				wg.Go(func() {
					begun := time.Now()
					roundTrip(t, nc, "hello")
					all[i] = time.Since(begun)
				})
			}
			wg.Wait()
			slices.Sort(all)
			return all
		}
		var put, remove []time.Duration
		for range 2 {
			begun := time.Now()
			r.put("slow", latency("1000"))
			put = append(put, time.Since(begun))
			assert.GreaterOrEqual(t, took()[0], delay, "none of %d connections escapes", conns)
			stage := r.server.links["edge"].current().stages[0]
			begun = time.Now()
			r.remove("slow")
			remove = append(remove, time.Since(begun))
			met := stage.hits.Load()
			took()
			assert.EqualValues(t, conns*len("hello"), met, "bytes delayed")
			assert.Equal(t, met, stage.hits.Load(), "gone from all of %d connections", conns)
		}
		t.Logf("%d connections: put returns after %v, remove after %v (medians)", conns, median(put), median(remove))
	}
}

// A delay is delivered as it was asked for: what a request through it takes
// longer than a control, which waits as long by a timer and then makes a request
// through an edge without a toxic, in the same rounds. Under load both are late.
func TestLatencyFidelity(t *testing.T) {
	const delay = 100 * time.Millisecond
	delayed := newRig(t, "tcp", tcpServer(t, echo), Options{})
	plain := newRig(t, "tcp", tcpServer(t, echo), Options{})
	delayed.put("slow", latency("100"))
	for _, load := range []struct{ rate, n int }{{10, 30}, {100, 200}, {1000, 2000}} {
		a := newCallers(delayed, load.rate/4+4, 0)
		b := newCallers(plain, load.rate/4+4, delay)
		ok := false
		for round := 0; round < 5 && !ok; round++ {
			tick := time.NewTicker(time.Second / time.Duration(load.rate))
			for range load.n {
				<-tick.C
				a.call()
				b.call()
			}
			tick.Stop()
			got, control := a.took(), b.took()
			assert.GreaterOrEqual(t, got[0], delay, "never early")
			at50 := quantile(got, 0.5) - quantile(control, 0.5)
			at99 := quantile(got, 0.99) - quantile(control, 0.99)
			t.Logf("%4d/s: median %v (control %v), p99 %v (control %v)", load.rate, quantile(got, 0.5)-delay,
				quantile(control, 0.5)-delay, quantile(got, 0.99)-delay, quantile(control, 0.99)-delay)
			ok = at50 < time.Millisecond && at99 < 3*time.Millisecond
		}
		assert.True(t, ok, "%d requests/s: median within 1 ms and p99 within 3 ms of the control", load.rate)
	}
}

// callers make requests at a rate whether or not replies have come: each on a
// kept connection that nobody else uses then.
type callers struct {
	t    *testing.T
	wait time.Duration // before the request
	idle chan *net.TCPConn
	wg   sync.WaitGroup
	mu   sync.Mutex
	all  []time.Duration
}

func newCallers(r *rig, conns int, wait time.Duration) *callers {
	c := &callers{t: r.t, wait: wait, idle: make(chan *net.TCPConn, conns)}
	for range conns {
		c.idle <- r.dial()
	}
	return c
}

func (c *callers) call() {
	begun := time.Now()
	c.wg.Go(func() {
		nc := <-c.idle
		if c.wait > 0 {
			<-time.After(c.wait)
		}
		roundTrip(c.t, nc, "hello")
		took := time.Since(begun)
		c.idle <- nc
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, took)
	})
}

// took waits for all replies and returns what they took, in order.
func (c *callers) took() []time.Duration {
	c.wg.Wait()
	all := slices.Sorted(slices.Values(c.all))
	c.all = nil
	return all
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Microsecond)
}

func median(xs []time.Duration) time.Duration { return quantile(slices.Sorted(slices.Values(xs)), 0.5) }
