package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"squall/faults"
	"squall/runner/record"
)

// Stop reverts these faults, all at once, and returns when they are seen gone.
// After an error what failed is kept, and Stop may be called again.
func (in *Injector) Stop(ctx context.Context, ids ...string) error {
	var chosen []*injection
	in.mu.Lock()
	for _, id := range ids {
		i := slices.IndexFunc(in.active, func(o *injection) bool { return o.ID == id })
		if i < 0 {
			in.mu.Unlock()
			return fmt.Errorf("fault %s is not in force", id)
		}
		chosen = append(chosen, in.active[i])
	}
	in.mu.Unlock()
	return in.stopThese(ctx, chosen)
}

// StopAll reverts whatever stands. That ctx is cancelled does not keep it from
// doing so: it has a deadline of its own.
func (in *Injector) StopAll(ctx context.Context) error {
	in.mu.Lock()
	all := slices.Clone(in.active)
	in.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return in.stopThese(ctx, all)
}

// stopThese reverts them at once: undoing is free of order, one that fails or
// hangs does not keep the others, and a process that is started again may need
// a link that another fault holds to become ready.
func (in *Injector) stopThese(ctx context.Context, these []*injection) error {
	errs := make([]error, len(these))
	var all sync.WaitGroup
	for i, j := range these {
		all.Go(func() {
			if err := in.stop(ctx, j); err != nil {
				errs[i] = fmt.Errorf("fault %s: %w", j.ID, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
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
	err := each(j.parts, func(p *part) error {
		if err := p.kind.Revert(ctx, p.x, p.undo); err != nil && !errors.Is(err, faults.ErrGone) {
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
	return each(j.parts, func(p *part) error { return p.awaitGone(ctx) })
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
		e, err := p.fault.Observe(ctx, p.x)
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
