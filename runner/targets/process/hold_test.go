package process

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"golang.org/x/sys/unix"

	"squall/faults"
	"squall/faults/disk"
	"squall/faults/proxy"
)

func TestHoldsAreNamed(t *testing.T) {
	b := workUp(t)
	h := b.holder("work-1")
	_, err := h.HoldStatus(t.Context(), "f")
	require.ErrorIs(t, err, faults.ErrNoHold)
	require.ErrorContains(t, h.PutHold(t.Context(), "f", faults.Hold{}), "it is empty")

	b.put("work-1", faults.Hold{Clock: time.Second})
	require.ErrorContains(t, h.PutHold(t.Context(), "f", faults.Hold{Clock: time.Second}), "there is one of that name")
	require.NoError(t, h.PutHold(t.Context(), "g", faults.Hold{Clock: time.Second}))
	now, err := b.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "f, g", now["holds on work-1"])
	assert.Empty(t, now["holds on work-2"])
	require.NoError(t, h.DeleteHold(t.Context(), "g"))
	b.drop("work-1")

	assert.ErrorContains(t, h.PutHold(t.Context(), "f", faults.Hold{Disk: &faults.DiskRule{Full: true}}), "not started for disk faults")
	assert.ErrorContains(t, h.PutHold(t.Context(), "f", faults.Hold{Memory: &faults.MemoryRule{}}), "not started for that")
}

func TestHoldWithoutHeartbeatIsUndone(t *testing.T) {
	b := workUp(t)
	const lease = 300 * time.Millisecond
	require.NoError(t, b.holder("work-1").PutHold(t.Context(), "mine", faults.Hold{Clock: time.Minute, Owner: "run/1", Lease: lease}))
	require.NoError(t, b.holder("work-1").PutHold(t.Context(), "theirs", faults.Hold{Clock: time.Minute, Owner: "run/2", Lease: lease}))
	require.NoError(t, b.session().world.ctl.renew(t.Context(), "run/1", longLease))
	require.Eventually(t, func() bool { return b.ask("work-1", "/clock") == "+60\n" }, soon, often, "one of two is left")
	require.NoError(t, b.session().world.ctl.renew(t.Context(), "run/1", time.Millisecond))
	require.Eventually(t, func() bool {
		now, err := b.Snapshot(t.Context())
		return err == nil && assert.ObjectsAreEqual(b.before, now)
	}, soon, often)
}

func TestCycle(t *testing.T) {
	b := workUp(t)
	b.put("work-1", faults.Hold{Cycle: &faults.Cycle{Signal: "KILL", Down: 50 * time.Millisecond, Up: 20 * time.Millisecond, Times: 3}})
	_, err := b.try("work-1", "/ready")
	require.Error(t, err, "dead when the hold is in force")
	require.Eventually(t, func() bool { return !b.status("work-1").Active }, soon, often)
	r := b.status("work-1").Receipt
	assert.EqualValues(t, 3, r.Hits)
	require.Len(t, r.Items, 3)
	assert.Regexp(t, `^pid \d+: SIGKILL, down [\d.]+m?s$`, r.Items[0])
	assert.NotEqual(t, r.Items[0], r.Items[1])
	assert.GreaterOrEqual(t, r.Last.Sub(r.First), 140*time.Millisecond)
	b.drop("work-1")
}

func TestCycleUndoneWhileDown(t *testing.T) {
	b := workUp(t)
	b.put("work-1", faults.Hold{Cycle: &faults.Cycle{Signal: "TERM", Grace: soon, Down: time.Hour}})
	e := b.status("work-1")
	assert.True(t, e.Active)
	assert.EqualValues(t, 1, e.Receipt.Hits)
	b.drop("work-1")
	assert.Empty(t, b.ask("work-1", "/ready"))
}

// Whatever the supervisor is just doing to it, an undone service runs.
func TestCycleUndoneAtAnyMoment(t *testing.T) {
	b := workUp(t)
	for i := range 25 {
		b.put("work-1", faults.Hold{Cycle: &faults.Cycle{Signal: []string{"KILL", "TERM"}[i%2], Grace: time.Second}})
		<-time.After(time.Duration(i) * 5 * time.Millisecond)
		b.drop("work-1")
		require.Empty(t, b.ask("work-1", "/ready"))
	}
}

func TestCycleInsists(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	back := cfg.System.Spec.Services["back"]
	back.Command[1] = "stubborn"
	cfg.System.Spec.Services["back"] = back
	env := up(t, cfg)
	target, err := env.Target("back")
	require.NoError(t, err)
	h := target.(faults.Holder)
	require.NoError(t, h.PutHold(t.Context(), "f", faults.Hold{Cycle: &faults.Cycle{Signal: "TERM", Grace: 50 * time.Millisecond, Down: time.Hour}}))
	e, err := h.HoldStatus(t.Context(), "f")
	require.NoError(t, err)
	assert.Contains(t, e.Receipt.Items[0], "SIGTERM, killed after 50ms")
}

// What somebody else has ended is for them to start.
func TestCycleLeavesWhatOthersEnded(t *testing.T) {
	b := workUp(t)
	h := b.holder("work-1")
	b.put("work-1", faults.Hold{Cycle: &faults.Cycle{Signal: "KILL", Up: time.Hour}})
	require.Eventually(t, func() bool { return !strings.Contains(b.status("work-1").Receipt.Items[0], "so far") }, soon, often)
	require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "KILL"))
	require.Eventually(t, func() bool { _, err := h.Identity(t.Context()); return err != nil }, soon, often)
	require.NoError(t, h.DeleteHold(t.Context(), "f"))
	_, err := h.Identity(t.Context())
	require.ErrorIs(t, err, faults.ErrNotRunning)
	cycle := faults.Hold{Cycle: &faults.Cycle{Signal: "KILL"}}
	require.ErrorContains(t, h.PutHold(t.Context(), "f", cycle), "it is dead, expected running")
	require.NoError(t, h.Start(t.Context()))
	require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "STOP"))
	require.Eventually(t, func() bool { s, err := h.State(t.Context(), b.id("work-1")); return err == nil && s == stateStopped }, soon, often)
	require.ErrorContains(t, h.PutHold(t.Context(), "f", cycle), "it is stopped, expected running")
	require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "CONT"))
}

func TestCPU(t *testing.T) {
	b := workUp(t)
	b.ask("work-1", "/burn")
	pid := b.pid("work-1")
	free := cpuShare(pid, time.Second)
	const cores = 0.1
	b.put("work-1", faults.Hold{CPU: cores})
	state, err := b.holder("work-1").State(t.Context(), b.id("work-1"))
	require.NoError(t, err)
	assert.Equal(t, stateRunning, state, "slow, not paused")
	held := cpuShare(pid, 2*time.Second)
	e := b.status("work-1")
	t.Logf("free %.3f, held %.3f of a core; %s", free, held, e.Receipt.Note)
	assert.LessOrEqual(t, held, 1.2*cores, "what is used too much is taken off later")
	assert.GreaterOrEqual(t, held, 0.5*cores, "others may want the machine as well")
	assert.Greater(t, free, 1.2*cores, "without the hold it uses more")
	assert.True(t, e.Active)
	assert.Greater(t, e.Receipt.Hits, uint64(10))
	b.drop("work-1")
	before := b.turns()
	require.Eventually(t, func() bool { return b.turns() > before }, soon, often, "it runs on")
}

// A pause and a throttle on one process are undone in either order.
func TestCPUAndPause(t *testing.T) {
	b := workUp(t)
	h := b.holder("work-1")
	b.ask("work-1", "/burn")
	for _, pauseFirst := range []bool{true, false} {
		b.put("work-1", faults.Hold{CPU: 0.1})
		require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "STOP"))
		require.Eventually(t, func() bool { s, err := h.State(t.Context(), b.id("work-1")); return err == nil && s == stateStopped }, soon, often)
		if pauseFirst {
			require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "CONT"))
			require.NotEmpty(t, b.ask("work-1", "/turns"))
			b.drop("work-1")
			continue
		}
		require.NoError(t, h.DeleteHold(t.Context(), "f"))
		s, err := h.State(t.Context(), b.id("work-1"))
		require.NoError(t, err)
		assert.Equal(t, stateStopped, s, "the pause stands")
		require.NoError(t, h.Signal(t.Context(), b.id("work-1"), "CONT"))
		require.NotEmpty(t, b.ask("work-1", "/turns"))
	}
}

// A service that needs less than its share is not hit.
func TestCPUEnough(t *testing.T) {
	b := workUp(t)
	b.put("work-1", faults.Hold{CPU: 0.5})
	for range 20 {
		b.ask("work-1", "/turns")
	}
	assert.Zero(t, b.status("work-1").Receipt.Hits)
	b.drop("work-1")
}

func (b *bench) id(instance string) faults.ProcessID {
	id, err := b.holder(instance).Identity(b.t.Context())
	require.NoError(b.t, err)
	return id
}

func (b *bench) pid(instance string) int { return b.id(instance).PID }

func (b *bench) turns() int {
	n, err := strconv.Atoi(b.ask("work-1", "/turns"))
	require.NoError(b.t, err)
	return n
}

// cpuShare measures for so long.
func cpuShare(pid int, span time.Duration) float64 {
	meter, begun := newCPUMeter(pid), time.Now()
	<-time.After(span)
	return meter.used().Seconds() / time.Since(begun).Seconds()
}

func TestMemory(t *testing.T) {
	needMemory(t)
	b := workUp(t, faults.NeedsMemory)
	b.ask("work-1", "/take/8")
	b.put("work-1", faults.Hold{Memory: &faults.MemoryRule{Headroom: 64 << 20}})
	assert.Zero(t, b.status("work-1").Receipt.Hits)
	b.ask("work-1", "/take/16")
	assert.Zero(t, b.status("work-1").Receipt.Hits, "there was room")
	first := b.pid("work-1")
	_, err := b.try("work-1", "/take/128")
	require.Error(t, err, "killed on the way")
	require.Eventually(t, func() bool { _, err := b.holder("work-1").Identity(t.Context()); return err != nil }, soon, often)
	r := b.status("work-1").Receipt
	assert.NotZero(t, r.Hits)
	assert.Contains(t, r.Note, "the kernel killed 1 processes")
	b.drop("work-1")
	assert.NotEqual(t, first, b.pid("work-1"), "started again")
	b.ask("work-1", "/take/128")
	group := b.session().world.bp.Cgroup
	require.DirExists(t, group)
	require.NoError(t, b.Down(t.Context()))
	assert.NoDirExists(t, group)
}

func TestClock(t *testing.T) {
	b := workUp(t)
	assert.Equal(t, "+0", b.before["clock of work-1"])
	assert.Equal(t, "+0\n", b.ask("work-1", "/clock"))
	b.put("work-1", faults.Hold{Clock: -90 * time.Second})
	e := b.status("work-1")
	assert.True(t, e.Active)
	assert.Zero(t, e.Receipt.Hits, "not read yet")
	require.NoError(t, b.holder("work-1").PutHold(t.Context(), "g", faults.Hold{Clock: 1500 * time.Millisecond}))
	assert.Equal(t, "-88.5\n", b.ask("work-1", "/clock"), "offsets add up")
	assert.Equal(t, "+0\n", b.ask("work-2", "/clock"), "every instance has a clock of its own")
	require.Eventually(t, func() bool { return b.status("work-1").Receipt.Hits == 1 }, soon, often)
	require.NoError(t, b.holder("work-1").DeleteHold(t.Context(), "g"))
	b.drop("work-1")
	assert.Equal(t, "+0\n", b.ask("work-1", "/clock"))
}

func needMemory(t *testing.T) {
	if _, err := faults.FindMemoryCgroup(); err != nil {
		t.Skip(err)
	}
}

func needDisk(t *testing.T) {
	kind, err := faults.Builtin().Kind("disk-full")
	require.NoError(t, err)
	if why := kind.Missing(); why != "" {
		t.Skip(why)
	}
}

func TestDisk(t *testing.T) {
	needDisk(t)
	b := workUp(t, faults.NeedsData)
	require.Equal(t, "ok", b.ask("work-1", "/write/a"))
	b.put("work-1", faults.Hold{Disk: &faults.DiskRule{Full: true}})
	assert.Contains(t, b.ask("work-1", "/write/a"), "no space left on device")
	assert.Equal(t, "ok", b.ask("work-2", "/write/a"), "the fault is on one instance")
	assert.Equal(t, "xx", b.ask("work-1", "/read/a"))
	e := b.status("work-1")
	assert.True(t, e.Active)
	assert.EqualValues(t, 1, e.Receipt.Hits)
	b.drop("work-1")
	assert.Equal(t, "ok", b.ask("work-1", "/write/a"))

	b.put("work-1", faults.Hold{Disk: &faults.DiskRule{Delay: 100 * time.Millisecond, Operations: []faults.DiskOperation{faults.DiskSync}}})
	begun := time.Now()
	assert.Equal(t, "ok", b.ask("work-1", "/write/a"))
	assert.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond)
	assert.EqualValues(t, 1, b.status("work-1").Receipt.Hits, "one fsync; the write was not delayed")
	b.drop("work-1")
}

// A killed service must not wait in the kernel until its delay is over.
func TestDiskLetsTheKilledGo(t *testing.T) {
	needDisk(t)
	b := workUp(t, faults.NeedsData)
	b.put("work-1", faults.Hold{Disk: &faults.DiskRule{Delay: time.Hour}})
	gone := make(chan struct{})
	go func() { _, _ = b.try("work-1", "/write/a"); close(gone) }()
	h, id := b.holder("work-1"), b.id("work-1")
	require.Eventually(t, func() bool { return b.status("work-1").Receipt.Hits == 1 }, soon, often)
	require.NoError(t, h.Signal(t.Context(), id, "KILL"))
	<-gone
	require.Eventually(t, func() bool { s, err := h.State(t.Context(), id); return err == nil && s == stateDead }, soon, often)
	require.NoError(t, h.DeleteHold(t.Context(), "f"))
	require.NoError(t, h.Start(t.Context()))
}

// The mounts of an environment are seen by nobody else and go with its last process.
func TestDiskLeavesNoMount(t *testing.T) {
	needDisk(t)
	b := workUp(t, faults.NeedsData)
	trail := trailOf(t, b.Locator())
	require.Equal(t, "ok", b.ask("work-1", "/write/a"))
	mount := b.session().world.bp.Volumes[0].Mount
	assert.NotContains(t, mounts(t, "self"), mount)
	assert.Contains(t, mounts(t, strconv.Itoa(b.pid("work-1"))), mount)

	states, err := b.session().world.ctl.states(t.Context())
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(states[diskName].ID.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		select {
		case ev := <-b.Events():
			return ev.Service == diskName && ev.Event == eventExited
		default:
			return false
		}
	}, soon, often, "its death is told")
	require.NoError(t, b.Down(t.Context()))
	trail.requireGone(t)
}

func mounts(t *testing.T, pid string) string {
	text, err := os.ReadFile("/proc/" + pid + "/mounts")
	require.NoError(t, err)
	return string(text)
}

// Whatever a fault may change shows in the picture of the world, under a name
// that says what it is, and none of it is left once the system has been ended.
func TestEveryDifferenceShowsAndIsMended(t *testing.T) {
	needDisk(t)
	needMemory(t)
	b := workUp(t, faults.NeedsData, faults.NeedsMemory)
	trail := trailOf(t, b.Locator())
	bp, ctx := b.session().world.bp, t.Context()
	first := b.holder("work-1")
	process := func(sig string) func() error {
		return func() error {
			id, err := first.Identity(ctx)
			if err != nil {
				return err
			}
			return first.Signal(ctx, id, sig)
		}
	}
	was := b.before
	for _, c := range []struct {
		key, now string
		change   func() error // behind the back of whoever undoes faults
	}{
		{"holds on work-1", "f", func() error { return first.PutHold(ctx, "f", faults.Hold{CPU: 1000}) }},
		{"process work-1", "stopped", process("STOP")},
		{"process work-1", "dead", process("KILL")},
		{"clock of work-2", "+60", func() error { return writeClock(bp.Services[1].Clock, time.Minute) }},
		{"memory limit of work-1", strconv.Itoa(64 << 20), func() error {
			group := faults.MemoryCgroup{Dir: bp.Services[0].Cgroup, Unified: bp.Unified}
			return os.WriteFile(filepath.Join(group.Dir, group.LimitFile()), []byte(strconv.Itoa(64<<20)), 0)
		}},
		{"disk of work", "mounted, rules: left", func() error {
			return disk.NewClient(bp.DiskURL).Put(ctx, "work", "left", faults.DiskRule{Full: true}, 1)
		}},
		{"proxy left", "enabled true, upstream 127.0.0.1:9", func() error {
			_, err := b.session().world.links.CreateProxy(ctx, proxy.Proxy{Name: "left", Listen: "127.0.0.1:0", Upstream: "127.0.0.1:9", Enabled: true, Protocol: "tcp"})
			return err
		}},
		{"stages of left", "f", func() error {
			return b.session().world.links.Link("left", "left").PutStage(ctx, "f", faults.Stage{Mode: faults.LinkHang})
		}},
		{"process squall-disk", "dead", func() error { return signalExactly(trail.Processes[diskName], syscall.SIGKILL) }},
	} {
		require.NoError(t, c.change(), c.key)
		var now map[string]string
		require.Eventually(t, func() bool {
			var err error
			now, err = b.Snapshot(ctx)
			return err == nil && now[c.key] == c.now
		}, soon, often, "%s: %q", c.key, now[c.key])
		assert.NotEqual(t, was[c.key], now[c.key])
		was = now
	}

	require.NoError(t, syscall.Kill(trail.Supervisor.PID, syscall.SIGKILL))
	_, _ = b.session().cmd.Process.Wait()
	require.Eventually(t, func() bool { return len(marked(trail.ID)) == 0 }, soon, often)
	_, err := Sweep(ctx, b.cfg.StateDir)
	require.NoError(t, err)
	assert.NoDirExists(t, trail.Cgroup)
	trail.requireGone(t)
}

// What cannot be removed is named, with what to do about it.
func TestWhatSweepCannotDoIsSaid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	stateDir := t.TempDir()
	folder := filepath.Join(environmentsDir(stateDir), "dead")
	inside := filepath.Join(folder, "data")
	require.NoError(t, os.MkdirAll(inside, 0o700))
	require.NoError(t, os.Chtimes(folder, time.Time{}, time.Now().Add(-time.Hour)))
	require.NoError(t, unix.Mount("none", inside, "tmpfs", 0, "size=4k"))
	_, err := Sweep(t.Context(), stateDir)
	detach(inside)
	require.ErrorContains(t, err, "by hand: rm -r "+folder+", after umount")
	_, err = Sweep(t.Context(), stateDir)
	require.NoError(t, err)
	require.NoDirExists(t, folder)

	needMemory(t)
	parent, err := faults.FindMemoryCgroup()
	require.NoError(t, err)
	group := filepath.Join(parent.Dir, "squall-busy-"+strconv.Itoa(os.Getpid()))
	require.NoError(t, os.MkdirAll(filepath.Join(group, "a", "b"), 0o755)) // deeper than ours ever are
	err = removeCgroups(group)
	require.NoError(t, os.Remove(filepath.Join(group, "a", "b")))
	require.ErrorContains(t, err, "by hand: rmdir "+group+"/* "+group)
	require.NoError(t, removeCgroups(group))
}

// Killed with SIGKILL, a supervisor takes its children, their namespace and
// every mount in it along; Sweep removes folder and cgroup.
func TestHoldsOfAKilledSupervisor(t *testing.T) {
	needDisk(t)
	needMemory(t)
	b := workUp(t, faults.NeedsData, faults.NeedsMemory)
	trail := trailOf(t, b.Locator())
	require.Equal(t, "ok", b.ask("work-1", "/write/a"))
	b.put("work-1", faults.Hold{Disk: &faults.DiskRule{Delay: time.Hour}})
	require.NoError(t, b.holder("work-1").PutHold(t.Context(), "memory", faults.Hold{Memory: &faults.MemoryRule{Headroom: 64 << 20}}))
	stuck := make(chan struct{})
	go func() { _, _ = b.try("work-1", "/write/a"); close(stuck) }()
	require.Eventually(t, func() bool { return b.status("work-1").Receipt.Hits == 1 }, soon, often)
	require.NoError(t, syscall.Kill(trail.Supervisor.PID, syscall.SIGKILL))
	_, _ = b.session().cmd.Process.Wait()
	<-stuck
	require.Eventually(t, func() bool { return len(marked(trail.ID)) == 0 }, soon, often)
	require.DirExists(t, trail.Cgroup)

	did, err := Sweep(t.Context(), b.cfg.StateDir)
	require.NoError(t, err)
	assert.Equal(t, []string{"removed environment " + trail.ID}, did)
	assert.NoDirExists(t, trail.Cgroup)
	trail.requireGone(t)
}

// A supervisor that was killed before it could greet leaves what it had made.
func TestUpThatFailsRemovesCgroups(t *testing.T) {
	needMemory(t)
	cfg := workConfig(t, faults.NeedsMemory)
	cfg.Self = []string{os.Args[0], "mute"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	made := func() []string {
		parent, err := faults.FindMemoryCgroup()
		require.NoError(t, err)
		groups, err := filepath.Glob(filepath.Join(parent.Dir, "squall-mute-*"))
		require.NoError(t, err)
		return groups
	}
	cfg.Owner = "mute"
	go func() {
		defer cancel()
		for len(made()) == 0 && ctx.Err() == nil {
			<-time.After(often)
		}
	}()
	env := New(cfg)
	require.Error(t, env.Up(ctx))
	require.NoError(t, env.Down(t.Context()))
	assert.Empty(t, made())
}
