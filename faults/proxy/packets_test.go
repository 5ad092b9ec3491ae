package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// needsPackets skips where the packet filter is not ours to use.
func needsPackets(t *testing.T) {
	t.Helper()
	if why := faults.Builtin()["net-loss"].Missing(); why != "" {
		t.Skip(why)
	}
}

// countedRefusals is what becomes of n refused dials in a receipt: the kernel
// counts them where it lets us ask.
func countedRefusals(n int) int {
	if faults.Builtin()["net-loss"].Missing() != "" {
		return 0
	}
	return n
}

func blackhole(owner string, lease time.Duration) faults.Stage {
	return faults.Stage{Packets: &faults.PacketRule{Drop: 1}, Owner: owner, Lease: lease}
}

// answers dials the edge once and tells whether there was an answer in time.
func (r *rig) answers(within time.Duration) bool {
	nc, err := net.DialTimeout("tcp", r.addr, within)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

func TestBlackhole(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	nc := r.dial()
	roundTrip(t, nc, "before")
	begun := time.Now()
	r.put("f", blackhole("", 0))

	_, err := nc.Write([]byte("during"))
	require.NoError(t, err, "a live connection stays open")
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = nc.Read(make([]byte, 6))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.False(t, r.answers(100*time.Millisecond))
	receipt := r.status("f").Receipt
	assert.Equal(t, "packets", receipt.Unit)
	assert.GreaterOrEqual(t, receipt.Hits, uint64(2), "what was written, and the handshake")
	assert.True(t, receipt.First.After(begun) && !receipt.Last.Before(receipt.First))
	assert.Empty(t, receipt.Note)

	// A stage in its place goes on, and one that goes lets all through.
	r.put("f", blackhole("", 0))
	assert.False(t, r.answers(100*time.Millisecond))
	r.remove("f")
	assert.True(t, r.answers(5*time.Second))
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(10*time.Second)))
	text := make([]byte, 6)
	_, err = io.ReadFull(nc, text)
	require.NoError(t, err, "TCP sends again what was lost")
	assert.Equal(t, "during", string(text))
}

func TestLossOfOneEdge(t *testing.T) {
	needsPackets(t)
	upstream := tcpServer(t, echo)
	r := newRig(t, "", upstream, Options{})
	other, err := r.client.CreateProxy(r.ctx, Proxy{Name: "other", Upstream: upstream, Enabled: true})
	require.NoError(t, err)
	r.put("f", faults.Stage{Packets: &faults.PacketRule{Drop: 0.2, Stream: "upstream"}, Seed: 1})
	nc := r.dial()
	for range 30 {
		roundTrip(t, nc, "x")
	}
	assert.NotZero(t, r.status("f").Receipt.Hits)

	r.put("f", blackhole("", 0))
	nc, err = net.DialTCP("tcp", nil, tcpAddr(t, other.Listen))
	require.NoError(t, err)
	defer nc.Close()
	roundTrip(t, nc, "the other edge is as it was")
}

func tcpAddr(t *testing.T, s string) *net.TCPAddr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", s)
	require.NoError(t, err)
	return a
}

func TestLossGrowsWithItsRamp(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	nc := r.dial()
	r.put("f", faults.Stage{Packets: &faults.PacketRule{Drop: 1}, Ramp: time.Second})
	roundTrip(t, nc, "most get through")
	silent := 0
	eventually(t, func() bool {
		if silent++; r.answers(30 * time.Millisecond) {
			silent = 0
		}
		return silent == 10
	}, "none gets through in the end")
	assert.GreaterOrEqual(t, r.status("f").Receipt.Hits, uint64(10))
	r.remove("f")
	assert.True(t, r.answers(5*time.Second))
}

func TestPacketsWaitForTheirTrigger(t *testing.T) {
	needsPackets(t)
	r, c := httpRig(t, okHandler)
	s := blackhole("", 0)
	s.After = &faults.Trigger{Edge: "a -> b", Path: "/now", Count: 1}
	r.put("f", s)
	status, _ := get(c, "http://"+r.addr+"/first")
	assert.Equal(t, http.StatusOK, status)
	status, _ = get(c, "http://"+r.addr+"/now")
	assert.Equal(t, http.StatusOK, status)
	eventually(t, func() bool { return !r.answers(50 * time.Millisecond) }, "the trigger has fired")
	r.remove("f")
	assert.True(t, r.answers(5*time.Second))
}

func TestPacketLease(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	const lease = time.Second
	begun := time.Now()
	r.put("f", blackhole("run", lease))
	for time.Since(begun) < lease+lease/2 {
		n, err := r.client.RenewOwner(r.ctx, "run", lease)
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.False(t, r.answers(50*time.Millisecond), "renewed, it stands beyond its first lease")
	}
	eventually(t, func() bool {
		_, err := r.link.StageStatus(r.ctx, "f")
		return errors.Is(err, faults.ErrNoStage) && r.answers(time.Second)
	}, "its owner fell silent")
}

func TestPacketsKeepTheAddress(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	r.put("f", blackhole("", 0))
	move := func() (int, string) {
		resp, err := http.Post(r.base+"/proxies/edge", "application/json", strings.NewReader(`{"listen":"127.0.0.1:0"}`))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	status, body := move()
	assert.Equal(t, http.StatusConflict, status)
	assert.Contains(t, body, "packets of this proxy are being lost")
	r.remove("f")
	status, _ = move()
	assert.Equal(t, http.StatusOK, status)
}

func TestPacketsEndWithTheirProxy(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	r.put("f", blackhole("", 0))
	require.False(t, r.answers(50*time.Millisecond))
	require.NoError(t, r.client.DeleteProxy(r.ctx, "edge"))
	_, err := net.DialTimeout("tcp", r.addr, 5*time.Second)
	assert.ErrorContains(t, err, "connection refused", "not swallowed")
}

func TestRefusalsOfAnIdleEdgeAreCounted(t *testing.T) {
	needsPackets(t)
	r := newRig(t, "", tcpServer(t, echo), Options{})
	r.put("f", faults.Stage{Mode: faults.LinkRefuse})
	assert.Zero(t, r.status("f").Receipt.Hits, "the canary is ours")
	for range 3 {
		assert.False(t, r.answers(time.Second))
	}
	r.put("g", faults.Stage{Mode: faults.LinkRefuse})
	assert.False(t, r.answers(time.Second))
	assert.EqualValues(t, 4, r.status("f").Receipt.Hits)
	assert.Zero(t, r.status("g").Receipt.Hits, "who came first refuses")
	r.remove("f")
	assert.False(t, r.answers(time.Second))
	assert.EqualValues(t, 1, r.status("g").Receipt.Hits)
	r.remove("g")
	assert.True(t, r.answers(5*time.Second))
}

// proxyFor tells this test program, started again, which edge to proxy.
const proxyFor = "SQUALL_TEST_PROXY_FOR"

// TestKilledProxyDropsNothing kills a proxy with -9; whoever listens on its port
// then is heard. While it merely stands still, the kernel keeps the lease.
func TestKilledProxyDropsNothing(t *testing.T) {
	if upstream := os.Getenv(proxyFor); upstream != "" {
		nl, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		fmt.Println(nl.Addr())
		NewServer(Options{}).Serve(context.Background(), nl)
		return
	}
	needsPackets(t)
	upstream := tcpServer(t, echo)
	process := exec.Command(os.Args[0], "-test.run=^TestKilledProxyDropsNothing$")
	process.Env = append(os.Environ(), proxyFor+"="+upstream)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	var api string
	_, err = fmt.Fscanln(out, &api)
	require.NoError(t, err)
	c := NewClient("http://" + api)
	defer c.Close()
	p, err := c.CreateProxy(t.Context(), Proxy{Name: "edge", Upstream: upstream, Enabled: true})
	require.NoError(t, err)
	r := &rig{t: t, ctx: t.Context(), client: c, link: c.Link("edge", "a -> b"), addr: p.Listen}

	r.put("f", blackhole("run", time.Second))
	require.False(t, r.answers(50*time.Millisecond))
	require.NoError(t, process.Process.Signal(syscall.SIGSTOP))
	eventually(t, func() bool { return r.answers(100 * time.Millisecond) }, "the kernel's lease ends, and the kernel accepts")
	require.NoError(t, process.Process.Signal(syscall.SIGCONT))
	eventually(t, func() bool { _, err := r.link.StageStatus(r.ctx, "f"); return errors.Is(err, faults.ErrNoStage) }, "the proxy wakes up and sees it")

	r.put("f", blackhole("", 0))
	require.False(t, r.answers(50*time.Millisecond))
	require.NoError(t, process.Process.Kill())
	process.Wait()
	next, err := net.Listen("tcp", r.addr)
	require.NoError(t, err)
	defer next.Close()
	assert.True(t, r.answers(5*time.Second))
}
