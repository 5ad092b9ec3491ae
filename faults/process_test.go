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

func TestPrepareRefusesWhatDoesNotRun(t *testing.T) {
	for _, kind := range []string{"proc-kill", "proc-pause"} {
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
	for _, kind := range []string{"proc-kill", "proc-pause"} {
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
	for _, kind := range []string{"proc-kill", "proc-pause"} {
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
