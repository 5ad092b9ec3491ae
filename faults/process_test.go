package faults

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func running() *memProcess {
	return &memProcess{id: ProcessID{PID: 42, Start: 7}, state: stateRunning}
}

func TestProcessFaults(t *testing.T) {
	for kind, state := range map[string]string{"proc-kill": stateDead, "proc-pause": stateStopped} {
		t.Run(kind, func(t *testing.T) {
			k, f := newFault(t, kind, nil)
			p := running()
			x := Injection{ID: "f1", Target: p}
			undo, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			assert.JSONEq(t, `{"process":{"pid":42,"start":7}}`, string(undo))
			e, err := f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{}, e, "not injected")

			require.NoError(t, f.Inject(t.Context(), x))
			assert.Equal(t, state, p.state)
			e, err = f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.True(t, e.Active)
			assert.Equal(t, uint64(1), e.Receipt.Hits)
			assert.Equal(t, "processes", e.Receipt.Unit)
			assert.Equal(t, []string{"pid 42"}, e.Receipt.Items)
			assert.Equal(t, "seen "+state, e.Receipt.Note)

			for range 2 { // idempotent
				require.NoError(t, k.Revert(t.Context(), x, undo))
				assert.Equal(t, stateRunning, p.state)
			}
			e, err = f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.False(t, e.Active)
		})
	}
}

// A supervisor is told how to restore the service before it is hit, for when
// nobody else does, and no longer when somebody has.
func TestSignalledServicesAreGuarded(t *testing.T) {
	for kind, start := range map[string]bool{"proc-kill": true, "proc-term": true, "proc-pause": false} {
		t.Run(kind, func(t *testing.T) {
			k, f := newFault(t, kind, nil)
			h := &memHolder{memProcess: *running()}
			x := Injection{ID: "f1", Target: h, Owner: "run/1", Lease: time.Second}
			undo, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			assert.Empty(t, h.holds, "prepare only reads")
			require.NoError(t, f.Inject(t.Context(), x))
			guard := Hold{Guard: &Guard{Process: ProcessID{PID: 42, Start: 7}, Start: start}, Owner: "run/1", Lease: time.Second}
			assert.Equal(t, map[string]Hold{"f1": guard}, h.holds)
			for range 2 {
				require.NoError(t, k.Revert(t.Context(), x, undo))
				assert.Empty(t, h.holds)
			}
		})
	}
}

func TestPrepareRefusesWhatDoesNotRun(t *testing.T) {
	for _, kind := range []string{"proc-kill", "proc-term", "proc-pause"} {
		_, f := newFault(t, kind, nil)
		dead, stopped := running(), running()
		dead.state, stopped.state = stateDead, stateStopped
		_, err := f.Prepare(t.Context(), Injection{Target: dead})
		assert.ErrorIs(t, err, ErrNotRunning)
		_, err = f.Prepare(t.Context(), Injection{Target: stopped})
		assert.ErrorContains(t, err, "orders is stopped, expected running")
		_, err = f.Prepare(t.Context(), Injection{Target: &memLink{}})
		assert.EqualError(t, err, "a -> b is no process")
	}
}

func TestOnlyThePreparedProcessIsHit(t *testing.T) {
	for _, kind := range []string{"proc-kill", "proc-term", "proc-pause"} {
		_, f := newFault(t, kind, nil)
		p := running()
		x := Injection{Target: p}
		_, err := f.Prepare(t.Context(), x)
		require.NoError(t, err)
		p.id.Start++ // the PID was recycled
		assert.ErrorIs(t, f.Inject(t.Context(), x), ErrNotRunning)
		assert.Equal(t, stateRunning, p.state)
	}
}

// A target that ignores signals must not count as hit.
func TestDeafProcessIsAnError(t *testing.T) {
	for _, kind := range []string{"proc-kill", "proc-term", "proc-pause"} {
		synctest.Test(t, func(t *testing.T) {
			_, f := newFault(t, kind, nil)
			p := running()
			p.deaf = true
			x := Injection{Target: p}
			_, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			assert.ErrorIs(t, f.Inject(ctx, x), context.DeadlineExceeded)
			e, err := f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{}, e)
		})
	}
}

func TestRevertPauseOfADeadOrRecycledProcess(t *testing.T) {
	undo := []byte(`{"process":{"pid":42,"start":7}}`)
	dead, recycled, gone := running(), running(), running()
	dead.state, gone.gone = stateDead, true
	recycled.id.Start, recycled.state = 8, stateStopped
	for _, p := range []*memProcess{dead, recycled, gone} {
		assert.NoError(t, revertPause(t.Context(), Injection{Target: p}, undo))
	}
	assert.Equal(t, stateStopped, recycled.state, "another process is left alone")
}

func TestRevertKillOfAGoneSystem(t *testing.T) {
	p := running()
	p.gone = true
	assert.NoError(t, revertKill(t.Context(), Injection{Target: p}, []byte(`{"process":{"pid":42,"start":7}}`)))
	assert.ErrorContains(t, revertKill(t.Context(), Injection{ID: "f1", Target: p}, nil), "undo data of f1")
}

// A process that ignores SIGTERM is killed when its grace is over.
func TestTermInsists(t *testing.T) {
	for name, deafTo := range map[string]string{"by itself": "", "killed: it did not go by itself": "TERM"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, f := newFault(t, "proc-term", map[string]any{"grace": "2s"})
				p := running()
				p.deafTo = deafTo
				x := Injection{Target: p}
				undo, err := f.Prepare(t.Context(), x)
				require.NoError(t, err)
				begun := time.Now()
				require.NoError(t, f.Inject(t.Context(), x))
				assert.Equal(t, stateDead, p.state)
				if deafTo != "" {
					assert.GreaterOrEqual(t, time.Since(begun), 2*time.Second)
				}
				e, err := f.Observe(t.Context(), x)
				require.NoError(t, err)
				assert.Contains(t, e.Receipt.Note, "seen dead after ")
				assert.Contains(t, e.Receipt.Note, name)
				require.NoError(t, k.Revert(t.Context(), x, undo))
				assert.Equal(t, stateRunning, p.state)
			})
		})
	}
}
