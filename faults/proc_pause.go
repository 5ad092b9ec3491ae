package faults

import (
	"context"
	"encoding/json"
	"errors"
)

// ProcPauseParams are the parameters of proc-pause: none.
type ProcPauseParams struct{}

func newProcPause(decode func(any) error) (Fault, error) {
	if err := decode(&ProcPauseParams{}); err != nil {
		return nil, err
	}
	return &signalFault{says: "SIGSTOP", signal: "STOP", state: stateStopped, active: stillStopped}, nil
}

func stillStopped(ctx context.Context, p Process, id ProcessID) (bool, error) {
	state, err := p.State(ctx, id)
	return state == stateStopped, err
}

// revertPause continues the process; a dead or recycled one has nothing to revert.
func revertPause(ctx context.Context, x Injection, undo json.RawMessage) error {
	p, id, err := readProcessUndo(x, undo)
	if err != nil {
		return err
	}
	if err := p.Signal(ctx, id, "CONT"); err != nil && !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrGone) {
		return err
	}
	return unguard(ctx, x)
}

func init() {
	builtin(Kind{
		Name:    "proc-pause",
		Summary: "freezes a service with SIGSTOP; the undo continues it",
		Needs:   NeedsProcess,
		Whole:   "a process is hit or it is not",
		Params:  ProcPauseParams{},
		Doc: `The process stops in mid-step and keeps its connections: to others it hangs. It wakes up believing no time has passed.
Receipt: the process, seen stopped. Undo: SIGCONT to that very process (PID and start time);
the supervisor sends it as well when the lease runs out.`,
		New:    newProcPause,
		Revert: revertPause,
	})
}
