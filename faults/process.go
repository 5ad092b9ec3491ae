package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// processUndo names the process that was hit, beyond doubt.
type processUndo struct {
	Process ProcessID `json:"process"`
}

func processOf(t Target) (Process, error) {
	p, ok := t.(Process)
	if !ok {
		return nil, fmt.Errorf("%s is no process", t.Name())
	}
	return p, nil
}

// identify finds the process that is to be hit.
func identify(ctx context.Context, x Injection) (ProcessID, error) {
	p, err := processOf(x.Target)
	if err != nil {
		return ProcessID{}, err
	}
	id, err := p.Identity(ctx)
	if err != nil {
		return ProcessID{}, fmt.Errorf("identify %s: %w", p.Name(), err)
	}
	// What somebody else has stopped is not ours to continue.
	if state, err := p.State(ctx, id); err != nil || state != stateRunning {
		return ProcessID{}, errors.Join(fmt.Errorf("%s is %s, expected %s", p.Name(), cmp.Or(state, "in an unknown state"), stateRunning), err)
	}
	return id, nil
}

func readProcessUndo(x Injection, undo json.RawMessage) (Process, ProcessID, error) {
	var u processUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return nil, ProcessID{}, fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	p, err := processOf(x.Target)
	return p, u.Process, err
}

// Process states as Process.State gives them.
const (
	stateRunning = "running"
	stateStopped = "stopped"
	stateDead    = "dead"
)

// awaitState waits until the process is seen in that state.
func awaitState(ctx context.Context, p Process, id ProcessID, want string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.State(ctx, id)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is %s, waiting for %s: %w", p.Name(), got, want, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// signalFault sends one signal and sees the process reach a state.
type signalFault struct {
	says, signal, state string
	// insist is how long the process may take to reach its state by itself; then
	// it is killed. 0: as long as there is time.
	insist time.Duration
	// active tells whether the service, whose process id was hit, still suffers.
	active func(ctx context.Context, p Process, id ProcessID) (bool, error)

	mark ProcessID  // what Prepare identified
	hit  *ProcessID // what Inject signalled
	at   time.Time
	note string
}

// Describe says the parameters in words.
func (f *signalFault) Describe() string { return f.says }

// Prepare notes which process is to be hit.
func (f *signalFault) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	id, err := identify(ctx, x)
	if err != nil {
		return nil, err
	}
	f.mark = id
	return json.Marshal(processUndo{Process: id})
}

// Inject signals that very process and waits until it is seen in its new state.
// Where there is a supervisor, it restores the service when the lease runs out.
func (f *signalFault) Inject(ctx context.Context, x Injection) error {
	p, err := processOf(x.Target)
	if err != nil {
		return err
	}
	if h, ok := p.(Holder); ok {
		guard := Hold{Guard: &Guard{Process: f.mark, Start: f.state == stateDead}, Owner: x.Owner, Lease: x.Lease}
		if err := h.PutHold(ctx, x.ID, guard); err != nil {
			return err
		}
	}
	if err := p.Signal(ctx, f.mark, f.signal); err != nil {
		return fmt.Errorf("signal %s to %s: %w", f.signal, p.Name(), err)
	}
	at := time.Now()
	by := "by itself"
	err = f.await(ctx, p)
	if f.insist > 0 && errors.Is(err, errInsist) {
		by = "killed: it did not go by itself"
		if err := p.Signal(ctx, f.mark, "KILL"); err != nil && !errors.Is(err, ErrNotRunning) {
			return fmt.Errorf("signal KILL to %s: %w", p.Name(), err)
		}
		err = awaitState(ctx, p, f.mark, f.state)
	}
	if err != nil {
		return err
	}
	f.hit, f.at, f.note = &f.mark, at, "seen "+f.state
	if f.insist > 0 {
		f.note += fmt.Sprintf(" after %s, %s", time.Since(at).Round(time.Millisecond), by)
	}
	return nil
}

// unguard ends the supervisor's watch over a service that has been restored.
func unguard(ctx context.Context, x Injection) error {
	h, ok := x.Target.(Holder)
	if !ok {
		return nil
	}
	if err := h.DeleteHold(ctx, x.ID); err != nil && !errors.Is(err, ErrNoHold) && !errors.Is(err, ErrGone) {
		return err
	}
	return nil
}

var errInsist = errors.New("its grace is over")

// await waits for the state, but no longer than the process may take.
func (f *signalFault) await(ctx context.Context, p Process) error {
	if f.insist == 0 {
		return awaitState(ctx, p, f.mark, f.state)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.insist, errInsist)
	defer cancel()
	err := awaitState(ctx, p, f.mark, f.state)
	if err != nil && errors.Is(context.Cause(ctx), errInsist) {
		return errInsist
	}
	return err
}

// Observe looks at the process that was hit.
func (f *signalFault) Observe(ctx context.Context, x Injection) (Evidence, error) {
	p, err := processOf(x.Target)
	if err != nil || f.hit == nil {
		return Evidence{}, err
	}
	active, err := f.active(ctx, p, *f.hit)
	if err != nil || !active {
		return Evidence{}, err
	}
	return Evidence{Active: true, Receipt: Receipt{
		Hits: 1, Unit: "processes", First: f.at, Last: f.at, Items: []string{fmt.Sprintf("pid %d", f.hit.PID)}, Note: f.note,
	}}, nil
}
