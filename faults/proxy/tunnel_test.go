package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func toxicStageOf(kind, dir, attrs string) faults.Stage {
	return faults.Stage{Toxics: []faults.Toxic{
		{Type: kind, Stream: dir, Toxicity: 1, Attributes: json.RawMessage(attrs)},
	}}
}

// Bytes must survive any number of switches between no toxic, one and several,
// in both directions, in order and without a new connection.
func TestSwitchingLosesNothing(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	var wg sync.WaitGroup
	var done atomic.Bool
	for n := range 2 {
		nc := r.dial()
		sent, got := sha256.New(), sha256.New()
		src := io.TeeReader(rand.NewChaCha8([32]byte{byte(n)}), sent)
		wg.Go(func() {
			for !done.Load() {
				if _, err := io.CopyN(nc, src, 256<<10); !assert.NoError(t, err) {
					return
				}
			}
			assert.NoError(t, nc.CloseWrite())
		})
		wg.Go(func() {
			n, err := io.Copy(got, nc)
			assert.NoError(t, err)
			assert.Greater(t, n, int64(1<<20), "bytes flowed meanwhile")
			sum := got.Sum(nil) // all was sent before the end came back
			assert.Equal(t, sent.Sum(nil), sum)
		})
	}
	stages := []faults.Stage{
		latency("3"),
		toxicStageOf("bandwidth", "upstream", `{"rate":400000}`),
		toxicStageOf("slicer", "downstream", `{"average_size":9000,"size_variation":500,"delay":1}`),
		{Toxics: []faults.Toxic{
			{Type: "bandwidth", Toxicity: 1, Attributes: json.RawMessage(`{"rate":300000}`)},
			{Type: "latency", Toxicity: 0.5, Attributes: json.RawMessage(`{"latency":2,"jitter":1}`)},
			{Type: "latency", Stream: "upstream", Toxicity: 0.5, Attributes: json.RawMessage(`{"latency":2}`)},
		}},
	}
	for n := range 12 {
		if n%3 == 0 {
			r.put("other", latency("1")) // overlaps with what follows
		}
		r.put("x", stages[n%len(stages)])
		if n%2 == 0 {
			r.remove("x")
		}
		r.remove("other")
	}
	r.remove("x")
	done.Store(true)
	wg.Wait()
}

func TestLatencyIsDeliveredAndMeasured(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	roundTrip(t, nc, "before")
	r.put("slow", latency("80"))
	start := time.Now()
	roundTrip(t, nc, "during")
	took := time.Since(start)
	assert.GreaterOrEqual(t, took, 80*time.Millisecond)
	eventually(t, func() bool { return r.status("slow").Receipt.Hits == uint64(len("during")) }, "bytes are counted")
	st := r.status("slow")
	assert.Equal(t, 1, st.Applied)
	assert.Equal(t, "bytes", st.Receipt.Unit)
	assert.False(t, st.Receipt.First.IsZero())
	assert.Regexp(t, `^delivered delay: median \d+(\.\d+)?ms, p99 .*, max .* over 1 chunks$`, st.Receipt.Note)
	r.remove("slow")
	_, err := r.link.StageStatus(r.ctx, "slow")
	assert.ErrorIs(t, err, faults.ErrNoStage)
}

// roundTrip sends a message over an echo and checks what comes back.
func roundTrip(t *testing.T, nc net.Conn, msg string) {
	t.Helper()
	nc.SetDeadline(time.Now().Add(patience))
	defer nc.SetDeadline(time.Time{})
	_, err := io.WriteString(nc, msg)
	require.NoError(t, err)
	got := make([]byte, len(msg))
	_, err = io.ReadFull(nc, got)
	require.NoError(t, err)
	require.Equal(t, msg, string(got))
}

// What a latency toxic holds comes at once when the toxic goes.
func TestRemovedLatencyFlushes(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	r.put("slow", latency("60000"))
	_, err := io.WriteString(nc, "held")
	require.NoError(t, err)
	eventually(t, func() bool { return r.status("slow").Receipt.Hits == 4 }, "bytes reach the toxic")
	r.remove("slow")
	got := make([]byte, 4)
	_, err = io.ReadFull(nc, got)
	require.NoError(t, err)
	assert.Equal(t, "held", string(got))
}

// An unrelated change must not disturb what a toxic holds.
func TestUnrelatedChangeKeepsLine(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	r.put("slow", latency("300"))
	start := time.Now()
	_, err := io.WriteString(nc, "held")
	require.NoError(t, err)
	eventually(t, func() bool { return r.status("slow").Receipt.Hits == 4 }, "bytes reach the toxic")
	r.put("up", toxicStageOf("latency", "upstream", `{"latency":1}`))
	_, err = io.ReadFull(nc, make([]byte, 4))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
}

func TestHalfClose(t *testing.T) {
	for name, stage := range map[string]*faults.Stage{
		"plain":   nil,
		"latency": {Toxics: latency("20").Toxics},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := tcpServer(t, func(nc *net.TCPConn) {
				got, _ := io.ReadAll(nc)
				io.WriteString(nc, "got "+string(got))
				nc.CloseWrite()
			})
			r := newRig(t, "tcp", upstream, Options{})
			if stage != nil {
				r.put("s", *stage)
			}
			nc := r.dial()
			io.WriteString(nc, "hello")
			require.NoError(t, nc.CloseWrite())
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			assert.Equal(t, "got hello", string(got))
		})
	}
}

func TestHalfClosedConnectionEndsWhenItStandsStill(t *testing.T) {
	silent := tcpServer(t, func(nc *net.TCPConn) { io.Copy(io.Discard, nc) })
	r := newRig(t, "tcp", silent, Options{Linger: 30 * time.Millisecond})
	nc := r.dial()
	require.NoError(t, nc.CloseWrite())
	_, err := nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestDeadUpstreamResetsCaller(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := nl.Addr().String()
	nl.Close()
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t, protocol, dead, Options{})
			next := r.wire()
			nc, err := net.Dial("tcp", r.addr)
			if err == nil { // the RST may come before Dial returns
				io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				_, err = nc.Read(make([]byte, 1))
				nc.Close()
			}
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			e := next()
			assert.Equal(t, "refused", e.Error)
			assert.Empty(t, e.Fault)
			assert.False(t, e.Sent)
		})
	}
}

// Toxics that end streams must end them through our engine too.
func TestCuttingToxics(t *testing.T) {
	tests := []struct {
		kind, attrs string
		read        int
		err         error
	}{
		{"limit_data", `{"bytes":3}`, 3, io.EOF},
		{"timeout", `{"timeout":200}`, 0, io.EOF},
		{"reset_peer", `{"timeout":200}`, 0, syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			r := newRig(t, "tcp", tcpServer(t, echo), Options{})
			nc := r.dial()
			r.put("x", toxicStageOf(tt.kind, "downstream", tt.attrs))
			got := 0
			_, err := io.WriteString(nc, "hello") // too late on a slow machine, and then told here
			for buf := make([]byte, 16); err == nil; {
				var n int
				n, err = nc.Read(buf)
				got += n
			}
			assert.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.read, got)
		})
	}
}

// A timeout toxic that goes has swallowed bytes: its connections must end
// (as stock does), and connections it did not strike must not.
func TestRemovedTimeoutEndsItsConnections(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	nc := r.dial()
	r.put("x", toxicStageOf("timeout", "downstream", `{"timeout":0}`))
	io.WriteString(nc, "hello")
	eventually(t, func() bool { return r.status("x").Receipt.Hits == 5 }, "bytes reach the toxic")
	r.remove("x")
	_, err := nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

func TestToxicityIsDrawnFromTheSeed(t *testing.T) {
	hits := func(seed uint64) (conns []int) {
		st, err := newStage("s", faults.Stage{Seed: seed, Toxics: []faults.Toxic{{Type: "latency", Toxicity: 0.3}}}, "tcp")
		require.NoError(t, err)
		for i := range 1000 {
			if st.toxics[0].strikes(uint64(i)) {
				conns = append(conns, i)
			}
		}
		return conns
	}
	assert.Equal(t, hits(1), hits(1))
	assert.NotEqual(t, hits(1), hits(2))
	assert.InDelta(t, 300, len(hits(1)), 50)
}
