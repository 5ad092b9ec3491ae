package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"squall/faults"
	"squall/scenarios/spec"
)

// inject puts a fault of that kind on the edge as a runner would, and returns
// what observes it and what reverts it.
func (r *rig) inject(kind string, params map[string]any) (observe func() faults.Evidence, revert func()) {
	r.t.Helper()
	k, err := faults.Builtin().Kind(kind)
	require.NoError(r.t, err)
	f, err := k.New(spec.NodeFrom(params).Decode)
	require.NoError(r.t, err)
	x := faults.Injection{ID: "f-" + kind, Target: r.link, Seed: 5, Owner: "run", Lease: time.Minute}
	undo, err := f.Prepare(r.ctx, x)
	require.NoError(r.t, err)
	require.NoError(r.t, f.Inject(r.ctx, x))
	observe = func() faults.Evidence {
		r.t.Helper()
		e, err := f.Observe(r.ctx, x)
		require.NoError(r.t, err)
		return e
	}
	return observe, func() {
		r.t.Helper()
		for range 2 { // idempotent
			require.NoError(r.t, k.Revert(r.ctx, x, undo))
		}
		assert.Equal(r.t, faults.Evidence{}, observe())
	}
}

// liveAndNew runs a test on a connection that lives when the fault comes, and on
// one that comes after it.
func liveAndNew(t *testing.T, kind string, params map[string]any, upstream func(*net.TCPConn), check func(t *testing.T, r *rig, nc *net.TCPConn, observe func() faults.Evidence, revert func())) {
	for _, which := range []string{"live", "new"} {
		t.Run(which, func(t *testing.T) {
			r := newRig(t, "tcp", tcpServer(t, upstream), Options{})
			var nc *net.TCPConn
			if which == "live" {
				nc = r.dial()
				roundTrip(t, nc, "before")
			}
			observe, revert := r.inject(kind, params)
			if which == "new" {
				nc = r.dial()
			}
			assert.True(t, observe().Active)
			check(t, r, nc, observe, revert)
		})
	}
}

func TestNetBandwidth(t *testing.T) {
	const size = 30_000
	liveAndNew(t, "net-bandwidth", map[string]any{"rate": "100KB/s"}, echo,
		func(t *testing.T, _ *rig, nc *net.TCPConn, observe func() faults.Evidence, revert func()) {
			exchange := func() time.Duration {
				start := time.Now()
				_, err := nc.Write(make([]byte, size))
				require.NoError(t, err)
				_, err = io.ReadFull(nc, make([]byte, size))
				require.NoError(t, err)
				return time.Since(start)
			}
			assert.GreaterOrEqual(t, exchange(), 290*time.Millisecond, "30 kB at 100 kB/s")
			got := observe().Receipt
			assert.EqualValues(t, size, got.Hits)
			assert.Equal(t, "bytes", got.Unit)
			revert()
			assert.Less(t, exchange(), 250*time.Millisecond)
		})
}

func TestNetSlicer(t *testing.T) {
	const size = 1000
	liveAndNew(t, "net-slicer", map[string]any{"size": "64B", "variation": "16B", "delay": "2ms"}, echo,
		func(t *testing.T, _ *rig, nc *net.TCPConn, observe func() faults.Evidence, revert func()) {
			exchange := func() (segments uint32) {
				before := segmentsIn(t, nc)
				sent := make([]byte, size)
				for i := range sent {
					sent[i] = byte(i)
				}
				_, err := nc.Write(sent)
				require.NoError(t, err)
				got := make([]byte, size)
				_, err = io.ReadFull(nc, got)
				require.NoError(t, err)
				require.Equal(t, sent, got, "in order, nothing lost")
				return segmentsIn(t, nc) - before
			}
			assert.GreaterOrEqual(t, exchange(), uint32(1000/(64+16)), "one write arrives in pieces")
			got := observe().Receipt
			assert.EqualValues(t, size, got.Hits)
			assert.Equal(t, "bytes", got.Unit)
			revert()
			assert.LessOrEqual(t, exchange(), uint32(2))
		})
}

// segmentsIn is how many segments with data have come, however late they are read.
func segmentsIn(t *testing.T, nc *net.TCPConn) (n uint32) {
	t.Helper()
	raw, err := nc.SyscallConn()
	require.NoError(t, err)
	var info *unix.TCPInfo
	require.NoError(t, raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }))
	require.NoError(t, err)
	return info.Data_segs_in
}

func TestNetLimit(t *testing.T) {
	liveAndNew(t, "net-limit", map[string]any{"bytes": "10B"}, echo,
		func(t *testing.T, r *rig, nc *net.TCPConn, observe func() faults.Evidence, revert func()) {
			roundTrip(t, nc, "four")
			assert.Zero(t, observe().Receipt.Hits, "not cut yet")
			_, err := io.WriteString(nc, "and more than six")
			require.NoError(t, err)
			rest, err := io.ReadAll(nc)
			assert.NoError(t, err, "closed in the ordinary way")
			assert.Equal(t, "and mo", string(rest))
			eventually(t, func() bool { return observe().Receipt.Hits == 1 }, "one connection closed")
			assert.Equal(t, "connections", observe().Receipt.Unit)
			revert()
			roundTrip(t, r.dial(), "more than ten bytes")
		})
}

// closesAfterOne echoes one read and closes.
func closesAfterOne(nc *net.TCPConn) {
	buf := make([]byte, 64)
	for range 2 { // "before" of a live connection, and the bell
		n, err := nc.Read(buf)
		if err != nil || string(buf[:n]) == "bell" {
			break
		}
		nc.Write(buf[:n])
	}
	nc.CloseWrite()
}

func TestNetSlowClose(t *testing.T) {
	liveAndNew(t, "net-slow-close", map[string]any{"delay": "150ms"}, closesAfterOne,
		func(t *testing.T, r *rig, nc *net.TCPConn, observe func() faults.Evidence, revert func()) {
			closes := func(nc net.Conn) time.Duration {
				start := time.Now()
				_, err := io.WriteString(nc, "bell")
				require.NoError(t, err)
				_, err = nc.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				return time.Since(start)
			}
			assert.GreaterOrEqual(t, closes(nc), 150*time.Millisecond)
			got := observe().Receipt
			assert.EqualValues(t, 1, got.Hits)
			assert.Equal(t, "connections", got.Unit)
			revert()
			assert.Less(t, closes(r.dial()), 140*time.Millisecond)
		})
}

// An end that is held arrives when the fault goes.
func TestNetSlowCloseLetsGo(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, closesAfterOne), Options{})
	observe, revert := r.inject("net-slow-close", map[string]any{"delay": "1h"})
	nc := r.dial()
	_, err := io.WriteString(nc, "bell")
	require.NoError(t, err)
	eventually(t, func() bool { return observe().Receipt.Hits == 1 }, "held")
	revert()
	_, err = nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

// A fault that chooses among connections leaves the others alone, and counts
// only those it chose.
func TestChosenConnectionsOfNetKinds(t *testing.T) {
	for kind, params := range map[string]map[string]any{
		"net-timeout": {"every": 2},
		"net-reset":   {"every": 2},
		"net-limit":   {"every": 2, "bytes": "0B"},
	} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, "tcp", tcpServer(t, echo), Options{})
			var conns []*net.TCPConn
			for range 4 {
				nc := r.dial()
				roundTrip(t, nc, "before")
				conns = append(conns, nc)
			}
			observe, revert := r.inject(kind, params)
			for i, nc := range conns {
				if i%2 == 0 {
					roundTrip(t, nc, "spared")
					continue
				}
				io.WriteString(nc, "hit") // fails on one that is reset already
				nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				_, err := nc.Read(make([]byte, 1))
				assert.Error(t, err, "connection %d", i+1)
			}
			eventually(t, func() bool { return observe().Receipt.Hits == 2 }, "two of four")
			revert()
		})
	}
}
