package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"squall/faults"
	"squall/runner/record"
)

// Stop reverts one fault and returns when it is seen gone. After an error the
// fault is kept, and Stop may be called again.
func (in *Injector) Stop(ctx context.Context, id string) error {
	in.mu.Lock()
	i := slices.IndexFunc(in.active, func(o *injection) bool { return o.ID == id })
	if i < 0 {
		in.mu.Unlock()
		return fmt.Errorf("fault %s is not in force", id)
	}
	j := in.active[i]
	in.mu.Unlock()
	return in.stop(ctx, j)
}

// StopAll reverts whatever stands, newest first. That ctx is cancelled does not
// keep it from doing so: each fault has a deadline of its own, so that one that
// fails or hangs does not keep the others from being reverted.
func (in *Injector) StopAll(ctx context.Context) error {
	in.mu.Lock()
	all := slices.Clone(in.active)
	in.mu.Unlock()
	var errs []error
	for _, j := range slices.Backward(all) {
		if err := in.stopWithin(context.WithoutCancel(ctx), j); err != nil {
			errs = append(errs, fmt.Errorf("fault %s: %w", j.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (in *Injector) stopWithin(ctx context.Context, j *injection) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	return in.stop(ctx, j)
}

func (in *Injector) stop(ctx context.Context, j *injection) error {
	j.mu.Lock()
	w := j.watch
	j.mu.Unlock()
	w.stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == record.FaultGone {
		return nil // another Stop was faster
	}
	if err := in.undo(ctx, j); err != nil {
		in.report(j, record.FaultFailed, err)
		return err
	}
	in.release(j)
	return in.advance(j, record.FaultGone)
}

// undo is repeated whole after a failure: reverting is idempotent, the journal
// may say so twice.
func (in *Injector) undo(ctx context.Context, j *injection) error {
	if j.state == record.FaultInjected || j.state == record.FaultBiting {
		in.look(ctx, j) // the last receipt
	}
	if j.state == record.FaultInjected {
		j.note("never seen biting")
	}
	err := j.each(func(p *part) error {
		if err := j.kind.Revert(ctx, p.x(), p.undo); err != nil && !errors.Is(err, faults.ErrGone) {
			return fmt.Errorf("revert: %w", err)
		}
		return in.Journal.Append(j.line(p, StepReverted))
	})
	if err != nil {
		return err
	}
	if j.state != record.FaultReverted {
		if err := in.advance(j, record.FaultReverted); err != nil {
			return err
		}
	}
	return j.each(func(p *part) error { return p.awaitGone(ctx) })
}

func (j *injection) note(s string) {
	if j.receipt.Note != "" {
		s = j.receipt.Note + "; " + s
	}
	j.receipt.Note = s
}

// awaitGone waits until the fault is observed not to be in force.
func (p *part) awaitGone(ctx context.Context) error {
	tick := time.NewTicker(observeSoon)
	defer tick.Stop()
	for {
		e, err := p.fault.Observe(ctx, p.x())
		if errors.Is(err, faults.ErrGone) || err == nil && !e.Active {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not seen gone: %w", context.Cause(ctx)), err)
		case <-tick.C:
		}
	}
}
