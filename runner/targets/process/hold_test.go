package process

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
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
