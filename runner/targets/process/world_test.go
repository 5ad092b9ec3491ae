package process

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
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
