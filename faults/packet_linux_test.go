package faults

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// needsPackets skips where the packet filter is not ours to use.
func needsPackets(t *testing.T) {
	t.Helper()
	if why := missingPackets(); why != "" {
		t.Skip(why)
	}
}

// wire is callers' connections to a callee, all ends in our hands.
type wire struct {
	t        *testing.T
	listener net.Listener
	at       netip.AddrPort
	caller   []*net.TCPConn
	callee   []*net.TCPConn
}

func newWire(t *testing.T, address string, conns int) *wire {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wire{t: t, listener: l, at: netip.MustParseAddrPort(l.Addr().String())}
	for range conns {
		a, err := net.Dial("tcp", w.at.String())
		require.NoError(t, err)
		b, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { a.Close(); b.Close() })
		w.caller, w.callee = append(w.caller, a.(*net.TCPConn)), append(w.callee, b.(*net.TCPConn))
	}
	return w
}

// pingPong has every caller send a byte and wait for it to come back, n times.
func (w *wire) pingPong(n int) {
	var all sync.WaitGroup
	for i := range w.caller {
		all.Go(func() { io.CopyN(w.callee[i], w.callee[i], int64(n)) })
		all.Go(func() {
			for range n {
				w.caller[i].Write([]byte("x"))
				_, err := io.ReadFull(w.caller[i], make([]byte, 1))
				assert.NoError(w.t, err)
			}
		})
	}
	all.Wait()
}

func (w *wire) drop(r PacketRule, seed uint64, lease time.Duration) *PacketTable {
	w.t.Helper()
	d, err := DropPackets(w.at, r, seed, lease)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { assert.NoError(w.t, d.Close()) })
	return d
}

// answers dials once and tells whether there was an answer in time.
func (w *wire) answers(within time.Duration) bool {
	c, err := net.DialTimeout("tcp", w.at.String(), within)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// packets are those that TCP has sent and received on connections.
func packets(t *testing.T, conns []*net.TCPConn) (out, in uint64) {
	t.Helper()
	for _, c := range conns {
		raw, err := c.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			require.NoError(t, err)
			out, in = out+uint64(info.Segs_out), in+uint64(info.Segs_in)
		}))
	}
	return out, in
}

// traffic of one direction, as the two ends know it.
type traffic struct{ sent, lost uint64 }

func (w *wire) traffic() (up, down traffic) {
	callerOut, callerIn := packets(w.t, w.caller)
	calleeOut, calleeIn := packets(w.t, w.callee)
	return traffic{callerOut, callerOut - calleeIn}, traffic{calleeOut, calleeOut - callerIn}
}

func (t traffic) since(o traffic) traffic { return traffic{t.sent - o.sent, t.lost - o.lost} }

func dropped(t *testing.T, d *PacketTable) uint64 {
	t.Helper()
	n, err := d.Count()
	require.NoError(t, err)
	return n
}

func eventually(t *testing.T, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, 10*time.Second, 5*time.Millisecond, what)
}

func TestDropAll(t *testing.T) {
	t.Parallel()
	needsPackets(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			w := newWire(t, address, 1)
			up0, down0 := w.traffic()
			d := w.drop(PacketRule{Drop: 1}, 0, 0)

			_, err := w.caller[0].Write([]byte("hello"))
			require.NoError(t, err, "the connection stays open")
			_, err = w.callee[0].Write([]byte("there"))
			require.NoError(t, err)
			require.NoError(t, w.callee[0].SetReadDeadline(time.Now().Add(300*time.Millisecond)))
			_, err = w.callee[0].Read(make([]byte, 5))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing arrives")
			eventually(t, func() bool {
				up, down := w.traffic()
				n := dropped(t, d)
				return n > 2 && n == up.since(up0).lost+down.since(down0).lost
			}, "the receipt is what TCP knows to be lost")

			before := dropped(t, d)
			assert.False(t, w.answers(300*time.Millisecond), "a connect is never answered")
			assert.Greater(t, dropped(t, d), before)

			require.NoError(t, d.Close())
			assert.True(t, w.answers(5*time.Second))
			require.NoError(t, w.callee[0].SetReadDeadline(time.Now().Add(10*time.Second)))
			text := make([]byte, 5)
			_, err = io.ReadFull(w.callee[0], text)
			require.NoError(t, err, "TCP sends again what was lost")
			assert.Equal(t, "hello", string(text))
		})
	}
}

// TestLossIsThePatternOfItsSeed counts what TCP knows to be lost: exactly the
// packets at the places drawn from the seed.
func TestLossIsThePatternOfItsSeed(t *testing.T) {
	t.Parallel()
	needsPackets(t)
	const seed = 7
	expected := func(share int, sent uint64) uint64 {
		n := sent / perThousand * uint64(share)
		for _, p := range packetPlaces(seed)[:share] {
			if uint64(p) < sent%perThousand {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		rule     PacketRule
		up, down int // thousandths
	}{
		{PacketRule{Drop: 0.05, Stream: "upstream"}, 50, 0},
		{PacketRule{Drop: 0.05, Stream: "downstream"}, 0, 50},
		{PacketRule{Drop: 0.02}, 20, 20},
	} {
		w := newWire(t, "127.0.0.1:0", 32)
		up0, down0 := w.traffic()
		d := w.drop(c.rule, seed, 0)
		w.pingPong(40)
		eventually(t, func() bool {
			up, down := w.traffic()
			up, down = up.since(up0), down.since(down0)
			return up.sent > perThousand && up.lost+down.lost == dropped(t, d) &&
				up.lost == expected(c.up, up.sent) && down.lost == expected(c.down, down.sent)
		}, "what was lost is what the pattern says")
		assert.Positive(t, dropped(t, d), "%+v", c.rule)
	}
}

func TestLossGrows(t *testing.T) {
	needsPackets(t)
	w := newWire(t, "127.0.0.1:0", 0)
	d := w.drop(PacketRule{Drop: 0.001, Stream: "upstream"}, 1, 0)
	require.NoError(t, d.Grow(1))
	require.NoError(t, d.Grow(0.5), "less is no change")
	assert.False(t, w.answers(300*time.Millisecond))
	assert.Positive(t, dropped(t, d))
}

func TestRefusedConnectionsAreCounted(t *testing.T) {
	needsPackets(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		w := newWire(t, address, 2)
		count, err := CountRefused(w.at)
		require.NoError(t, err)
		defer count.Close()
		w.pingPong(3)
		assert.True(t, w.answers(5*time.Second))
		require.NoError(t, w.listener.Close())
		for _, c := range w.callee { // a reset that refuses nothing
			require.NoError(t, c.SetLinger(0))
			c.Close()
		}
		assert.Zero(t, dropped(t, count))
		for range 5 {
			_, err := net.Dial("tcp", w.at.String())
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
		assert.EqualValues(t, 5, dropped(t, count))
	}
}

func TestDropIsOfOneAddress(t *testing.T) {
	needsPackets(t)
	w, other := newWire(t, "127.0.0.1:0", 0), newWire(t, "127.0.0.1:0", 0)
	namesake := newWire(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), w.at.Port()).String(), 0)
	d := w.drop(PacketRule{Drop: 1}, 0, 0)
	assert.True(t, other.answers(5*time.Second))
	assert.True(t, namesake.answers(5*time.Second))
	assert.Zero(t, dropped(t, d))
	assert.False(t, w.answers(100*time.Millisecond))
}

func TestDropEndsWithItsLease(t *testing.T) {
	t.Parallel()
	needsPackets(t)
	w := newWire(t, "127.0.0.1:0", 0)
	const lease = time.Second
	begun := time.Now()
	d := w.drop(PacketRule{Drop: 1}, 0, lease)
	assert.False(t, w.answers(50*time.Millisecond))
	n := dropped(t, d)
	for time.Since(begun) < lease+lease/2 {
		require.NoError(t, d.Renew(lease))
		assert.False(t, w.answers(50*time.Millisecond), "renewed, it stands beyond its first lease")
	}
	assert.Greater(t, dropped(t, d), n, "a renewal keeps the count")

	eventually(t, func() bool { return w.answers(50 * time.Millisecond) }, "the kernel ends it")
	assert.ErrorIs(t, d.Renew(lease), errLeaseOver, "what is over is not taken up again")
	assert.True(t, w.answers(5*time.Second))
}

// dropAt tells this test program, started again, what to hold.
const dropAt = "SQUALL_TEST_DROP"

func TestDropGoesWithItsProcess(t *testing.T) {
	if at := os.Getenv(dropAt); at != "" {
		_, err := DropPackets(netip.MustParseAddrPort(at), PacketRule{Drop: 1}, 0, 0)
		require.NoError(t, err)
		os.Stdout.WriteString("ready\n")
		select {}
	}
	needsPackets(t)
	w := newWire(t, "127.0.0.1:0", 0)
	holder := exec.Command(os.Args[0], "-test.run=^TestDropGoesWithItsProcess$")
	holder.Env = append(os.Environ(), dropAt+"="+w.at.String())
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	ready := make([]byte, 6)
	_, err = io.ReadFull(out, ready)
	assert.NoError(t, err)
	assert.Equal(t, "ready\n", string(ready))
	assert.False(t, w.answers(100*time.Millisecond))

	require.NoError(t, holder.Process.Kill())
	holder.Wait()
	assert.True(t, w.answers(5*time.Second), "the kernel has removed the table")
}

func TestNobodyElsesTableIsTouched(t *testing.T) {
	needsPackets(t)
	ownNetwork(t)
	addForeignTable(t)
	before := ruleset(t)
	require.Contains(t, before, "theirs")

	w := newWire(t, "127.0.0.1:0", 0)
	d := w.drop(PacketRule{Drop: 0.5}, 1, time.Minute)
	during := ruleset(t)
	assert.Contains(t, during, d.table.Name)
	require.NoError(t, d.Renew(time.Minute))
	require.NoError(t, d.Close())
	assert.Equal(t, before, ruleset(t), "nothing of ours is left, and theirs is as it was")
	assert.Empty(t, missingPackets())
	assert.Equal(t, before, ruleset(t), "asking leaves no trace")
}

// ownNetwork gives the test a network of its own, for as long as its thread lives.
func ownNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	lo.SetUint16(unix.IFF_UP)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

func addForeignTable(t *testing.T) {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "theirs"})
	chain := c.AddChain(&nftables.Chain{Table: table, Name: "input", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}})
	require.NoError(t, c.Flush())
}

// ruleset is all tables with their chains and rules.
func ruleset(t *testing.T) string {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	var all []any
	tables, err := c.ListTables()
	require.NoError(t, err)
	for _, table := range tables {
		all = append(all, table)
	}
	chains, err := c.ListChains()
	require.NoError(t, err)
	for _, chain := range chains {
		rules, err := c.GetRules(chain.Table, chain)
		require.NoError(t, err)
		all = append(all, chain, rules)
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return string(text)
}

func TestDropIsRefused(t *testing.T) {
	for _, c := range []struct {
		at   string
		rule PacketRule
		want string
	}{
		{"192.0.2.1:80", PacketRule{Drop: 1}, "192.0.2.1:80: packets are filtered on loopback only, where each is received on this machine"},
		{"127.0.0.1:0", PacketRule{Drop: 1}, "127.0.0.1:0: packets are filtered on loopback only, where each is received on this machine"},
		{"127.0.0.1:80", PacketRule{}, "drop 0 is not in whole thousandths above 0 up to 1"},
		{"127.0.0.1:80", PacketRule{Drop: 1.1}, "drop 1.1 is not in whole thousandths above 0 up to 1"},
		{"127.0.0.1:80", PacketRule{Drop: 0.0005}, "drop 0.0005 is not in whole thousandths above 0 up to 1"},
		{"127.0.0.1:80", PacketRule{Drop: 1, Stream: "both"}, `unknown stream "both", expected upstream or downstream`},
	} {
		_, err := DropPackets(netip.MustParseAddrPort(c.at), c.rule, 0, 0)
		assert.EqualError(t, err, c.want)
	}
}

// TestMissingWithoutPermission asks this test program, started again as nobody.
func TestMissingWithoutPermission(t *testing.T) {
	if os.Getenv(dropAt) != "" {
		os.Stdout.WriteString(missingPackets())
		os.Exit(0)
	}
	if os.Geteuid() == 0 {
		program := copyOfTest(t)
		nobody := exec.Command(program, "-test.run=^TestMissingWithoutPermission$")
		nobody.Dir = "/"
		nobody.Env = append(os.Environ(), dropAt+"=ask")
		nobody.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := nobody.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, "the packet filter needs CAP_NET_ADMIN, such as root has", strings.TrimSpace(string(out)))
	}
}

// copyOfTest is this test program where everybody may run it.
func copyOfTest(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "squall-nobody-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	program := dir + "/faults.test"
	require.NoError(t, os.WriteFile(program, text, 0o755))
	return program
}
