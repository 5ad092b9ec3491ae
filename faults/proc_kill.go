package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ProcKillParams are the parameters of proc-kill: none.
type ProcKillParams struct{}

func newProcKill(decode func(any) error) (Fault, error) {
	if err := decode(&ProcKillParams{}); err != nil {
		return nil, err
	}
	return newSIGKILL(), nil
}

func newSIGKILL() *signalFault {
	return &signalFault{says: "SIGKILL", signal: "KILL", state: stateDead, active: notRunning}
}

// notRunning: the service suffers until it has a process again, whichever.
func notRunning(ctx context.Context, p Process, _ ProcessID) (bool, error) {
	_, err := p.Identity(ctx)
	if errors.Is(err, ErrNotRunning) {
		return true, nil
	}
	return false, err
}

// revertKill starts the service again; one that runs already is reverted.
func revertKill(ctx context.Context, x Injection, undo json.RawMessage) error {
	p, _, err := readProcessUndo(x, undo)
	if err != nil {
		return err
	}
	if err := p.Start(ctx); err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("start %s: %w", p.Name(), err)
	}
	return unguard(ctx, x)
}

func init() {
	builtin(Kind{
		Name:    "proc-kill",
		Summary: "kills a service with SIGKILL; the undo starts it again",
		Needs:   NeedsProcess,
		Whole:   "a process is hit or it is not",
		Params:  ProcKillParams{},
		Doc: `The process dies at once, without a chance to flush or say goodbye. It stays dead while the fault stands.
Receipt: the process, seen dead. Undo: the service is started again with the same command, ports and data, and is seen ready;
the supervisor starts it as well when the lease runs out.`,
		New:    newProcKill,
		Revert: revertKill,
	})
}
