package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"squall/runner/record"
)

// finish undoes what stands, compares the world with its picture from before,
// ends system and observers, and says how the run ended. It has deadlines of
// its own: an interrupt of ctx ends the experiment, not the way back.
func (e *engine) finish(ctx context.Context, runErr error) record.End {
	end := record.End{Reason: reason(ctx, runErr)}
	ctx = context.WithoutCancel(ctx)
	if runErr != nil {
		end.Error = runErr.Error()
	}
	end.Dirty = append(end.Dirty, e.undo(ctx)...)
	if err := e.stopLoad(ctx); err != nil && runErr == nil {
		end.Reason, end.Error = record.EndError, err.Error()
	}
	end.Dirty = append(end.Dirty, e.compare(ctx)...)
	e.obs.stop()
	end.Dirty = append(end.Dirty, e.down(ctx)...)
	e.events.Wait()
	return end
}

// reason: whatever fails while the run is being interrupted failed because of that.
func reason(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return record.EndDone
	case errors.Is(err, errGuardrail):
		return record.EndAborted
	case errors.Is(err, errNotSteady):
		return record.EndNotSteady
	case ctx.Err() != nil:
		return record.EndInterrupted
	default:
		return record.EndError
	}
}

// undo reverts whatever still stands.
func (e *engine) undo(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	if err := e.injector.StopAll(ctx); err != nil {
		return []string{fmt.Sprintf("revert: %v", err)}
	}
	return nil
}

// compare holds the world against its snapshot from before the experiment.
func (e *engine) compare(ctx context.Context) []string {
	if e.before == nil {
		return nil // it never came up
	}
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	after, err := e.Env.Snapshot(ctx)
	if err != nil {
		return []string{fmt.Sprintf("snapshot after: %v", err)}
	}
	return differences(e.before, after)
}

func differences(before, after map[string]string) []string {
	var out []string
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if before[k] != after[k] {
			out = append(out, fmt.Sprintf("%s: was %q, is %q", k, before[k], after[k]))
		}
	}
	return out
}

func (e *engine) down(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, downWithin)
	defer cancel()
	if err := e.Env.Down(ctx); err != nil {
		return []string{fmt.Sprintf("end system: %v", err)}
	}
	return nil
}
