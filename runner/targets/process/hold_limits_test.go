package process

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

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
