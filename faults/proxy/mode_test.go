package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func TestRefuseAndRecoverOnTheSamePort(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	next := r.wire()
	live := r.dial()
	roundTrip(t, live, "before")
	for range 3 {
		r.put("down", faults.Stage{Mode: faults.LinkRefuse})
		_, err := net.Dial("tcp", r.addr)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		got := r.status("down").Receipt
		assert.EqualValues(t, 1+countedRefusals(1), got.Hits, "reset, and refused, but not the canary")
		assert.Equal(t, "connections", got.Unit)
		assert.Equal(t, "canary dial refused", got.Note)
		_, err = live.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		e := next()
		assert.Equal(t, "reset", e.Error)
		assert.Equal(t, "down", e.Fault)
		r.remove("down")
		live = r.dial()
		roundTrip(t, live, "again")
	}
}

// The port is held while it refuses: nobody may be given it meanwhile.
func TestHeldPortCanBeListenedOnAgain(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := nl.Addr().String()
	nl.Close()
	h := holdPort(addr)
	require.NotNil(t, h)
	defer h.release()
	_, err = net.Dial("tcp", addr)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	again, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	again.Close()
}

func TestResetHitsIdleAndNewConnections(t *testing.T) {
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t, protocol, tcpServer(t, echo), Options{})
			idle := r.dial()
			eventually(t, func() bool {
				r.put("probe", latency("1"))
				return r.status("probe").Applied == 1
			}, "the connection is known")
			r.remove("probe")
			r.put("cut", faults.Stage{Reset: true})
			_, err := idle.Read(make([]byte, 1))
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			assert.EqualValues(t, 1, r.status("cut").Receipt.Hits)

			fresh, err := net.Dial("tcp", r.addr) // the RST may come before Dial returns
			if err == nil {
				_, err = fresh.Read(make([]byte, 1))
				fresh.Close()
			}
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			eventually(t, func() bool { return r.status("cut").Receipt.Hits == 2 }, "new connections count")
			r.remove("cut")
		})
	}
}

func TestHangAndRelease(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	live := r.dial()
	roundTrip(t, live, "before")
	r.put("hang", faults.Stage{Mode: faults.LinkHang})
	fresh := r.dial()
	for _, nc := range []net.Conn{live, fresh} {
		_, err := io.WriteString(nc, "held")
		require.NoError(t, err)
		nc.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
		_, err = nc.Read(make([]byte, 1))
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "nothing may pass: %v", err)
		nc.SetReadDeadline(time.Time{})
	}
	assert.EqualValues(t, 2, r.status("hang").Receipt.Hits)
	r.remove("hang")
	for _, nc := range []net.Conn{live, fresh} {
		require.NoError(t, iotest.TestReader(io.LimitReader(nc, 4), []byte("held")))
	}
}

// What passes nothing passes no end either: a callee that dies behind a hung
// edge is silent, until the stage goes.
func TestHangHoldsTheEndOfTheUpstream(t *testing.T) {
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		for name, linger := range map[string]int{"closed": -1, "reset": 0} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				accepted := make(chan *net.TCPConn, 1)
				r := newRig(t, protocol, tcpServer(t, func(nc *net.TCPConn) {
					_, _ = nc.Read(make([]byte, 100)) // closing over what was not read is a reset
					accepted <- nc
					<-t.Context().Done()
				}), Options{})
				live := r.dial()
				_, err := io.WriteString(live, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				require.NoError(t, err)
				upstream := <-accepted
				r.put("hang", faults.Stage{Mode: faults.LinkHang})
				require.NoError(t, upstream.SetLinger(linger))
				require.NoError(t, upstream.Close())
				eventually(t, func() bool { return r.status("hang").Receipt.Hits == 1 }, "the end is held")
				live.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
				_, err = live.Read(make([]byte, 1))
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				live.SetReadDeadline(time.Time{})
				r.remove("hang")
				_, err = live.Read(make([]byte, 1))
				if linger == 0 {
					assert.ErrorIs(t, err, syscall.ECONNRESET)
				} else {
					assert.ErrorIs(t, err, io.EOF)
				}
			})
		}
	}
}

// A caller that gives up while the edge hangs is seen without being read.
func TestCallerLeavesHungEdge(t *testing.T) {
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t, protocol, tcpServer(t, echo), Options{})
			next := r.wire()
			r.put("hang", faults.Stage{Mode: faults.LinkHang})
			nc := r.dial()
			io.WriteString(nc, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
			eventually(t, func() bool { return r.status("hang").Receipt.Hits == 1 }, "the request is held")
			nc.Close()
			e := next()
			assert.Equal(t, "timeout", e.Error)
			assert.Equal(t, "hang", e.Fault)
			assert.False(t, e.Sent)
			if protocol == ProtocolHTTP {
				assert.Equal(t, "/x", e.Path)
			}
		})
	}
}

func TestLeases(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	leased := faults.Stage{Mode: faults.LinkHang, Owner: "run-1", Lease: 150 * time.Millisecond}
	r.put("leased", leased)
	other := latency("1")
	other.Owner = "run-2"
	r.put("other", other)

	deadline := time.Now().Add(400 * time.Millisecond) // well past the first lease
	for time.Now().Before(deadline) {
		n, err := r.client.RenewOwner(r.ctx, "run-1", 150*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, 1, n, "a renewed lease holds")
		<-time.After(20 * time.Millisecond)
	}
	expires := r.status("leased").Expires
	eventually(t, func() bool {
		_, err := r.link.StageStatus(r.ctx, "leased")
		return errors.Is(err, faults.ErrNoStage)
	}, "unrenewed, the stage goes by itself")
	assert.False(t, time.Now().Before(expires))
	roundTrip(t, r.dial(), "alive")

	n, err := r.client.DeleteOwner(r.ctx, "run-1")
	require.NoError(t, err)
	assert.Zero(t, n, "owners are kept apart")
	n, err = r.client.DeleteOwner(r.ctx, "run-2")
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	stages, err := r.client.Stages(r.ctx)
	require.NoError(t, err)
	assert.Empty(t, stages)
}
