package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"squall/runner/plan"
	"squall/runner/record"
)

// finish undoes what stands, compares the world with its picture from before,
// ends system and observers, and says how the run ended. It has deadlines of
// its own: an interrupt of ctx ends the experiment, not the way back.
func (e *engine) finish(ctx context.Context, runErr error) record.End {
	end := record.End{Reason: reason(ctx, runErr)}
	if runErr != nil {
		end.Error = runErr.Error()
	}
	if ctx.Err() != nil {
		e.note("warn", "interrupted: undoing faults and ending the system")
	}
	ctx = context.WithoutCancel(ctx)
	undone := e.injector.StopAll(ctx)
	if err := e.stopLoad(ctx); err != nil {
		fail(&end, err)
	}
	different, compared := e.compare(ctx)
	end.Dirty = append(end.Dirty, different...)
	e.obs.stop()
	down := e.down(ctx)
	if down != nil {
		end.Dirty = append(end.Dirty, mended("end system: %v", down))
	}
	e.settleUndo(ctx, &end, undone)
	if compared != nil {
		if down != nil {
			end.Dirty = append(end.Dirty, mended("%v", compared))
		}
		fail(&end, compared)
	}
	e.events.Wait()
	e.endTraces(ctx)
	return end
}

// endTraces waits for the spans that the services sent as they ended.
func (e *engine) endTraces(ctx context.Context) {
	if e.Traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tracesWithin)
	defer cancel()
	if err := e.Traces(ctx); err != nil {
		e.note("warn", "%v", err)
	}
}

// settleUndo: what could not be reverted may have gone with its system, which
// has ended by now. Then it is an error of ours, but nothing is left.
func (e *engine) settleUndo(ctx context.Context, end *record.End, undone error) {
	if undone == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	if err := e.Heal(ctx); err != nil {
		end.Dirty = append(end.Dirty, mended("revert: %v", err))
	}
	fail(end, fmt.Errorf("revert: %w", undone))
}

// fail makes it an error, unless the run has one already.
func fail(end *record.End, err error) {
	if end.Reason != record.EndError {
		end.Reason, end.Error = record.EndError, err.Error()
	}
}

// reason: whatever fails while the run is being interrupted failed because of that.
func reason(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return record.EndDone
	case errors.Is(err, errGuardrail), errors.Is(err, ErrAborted):
		return record.EndAborted
	case errors.Is(err, errNotSteady):
		return record.EndNotSteady
	case ctx.Err() != nil:
		return record.EndInterrupted
	default:
		return record.EndError
	}
}

// compare holds the world against its snapshot from before the experiment.
func (e *engine) compare(ctx context.Context) ([]string, error) {
	if e.before == nil {
		return nil, nil // it never came up
	}
	ctx, cancel := context.WithTimeout(ctx, undoWithin)
	defer cancel()
	after, err := e.Env.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot after: %w", err)
	}
	for _, name := range e.bystanders() {
		// A process that died by itself is what the run has shown, not what it left.
		delete(e.before, "process "+name)
		delete(after, "process "+name)
	}
	return differences(e.before, after), nil
}

// bystanders are the instances that no fault is aimed at.
func (e *engine) bystanders() (names []string) {
	for name := range e.System.Spec.Services {
		if !slices.ContainsFunc(e.Plan.Faults, func(f plan.Fault) bool { return f.Acts(name) }) {
			names = append(names, name)
		}
	}
	return names
}

// MendIt ends what is said of something that is not as before.
const MendIt = "; mend it: squall heal"

// mended says what is not as before, and the command that mends it: heal ends
// what is left of the system, reverts what the journal leaves open, removes what
// the system leaves on the machine, and names what it cannot do. Until then no
// other run begins.
func mended(format string, args ...any) string {
	return fmt.Sprintf(format, args...) + MendIt
}

func differences(before, after map[string]string) []string {
	var out []string
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if before[k] != after[k] {
			out = append(out, mended("%s: was %q, is %q", k, before[k], after[k]))
		}
	}
	return out
}

func (e *engine) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downWithin)
	defer cancel()
	return e.Env.Down(ctx)
}
