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
	errs := make([]error, len(chosen))
	var all sync.WaitGroup
	for i, j := range chosen {
		all.Go(func() { errs[i] = in.stopNamed(ctx, j) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// StopAll reverts whatever stands, newest first. That ctx is cancelled does not
// keep it from doing so: it has a deadline of its own.
func (in *Injector) StopAll(ctx context.Context) error {
	in.mu.Lock()
	all := slices.Clone(in.active)
	in.mu.Unlock()
	slices.Reverse(all)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	errs := make([]error, len(all))
	newestFirst(len(all), func(i int) { errs[i] = in.stopNamed(ctx, all[i]) })
	return errors.Join(errs...)
}

// patience is how long the undo of an older fault waits for that of a newer one.
const patience = 100 * time.Millisecond

// newestFirst does n undos, of which the first is the newest fault's, and returns
// when all are done. One that hangs holds the next up for a moment only: what can
// be healed is healed within a second, and a process that is started again may
// need a link that an older fault holds to become ready.
func newestFirst(n int, undo func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		done := make(chan struct{})
		all.Go(func() { defer close(done); undo(i) })
		select {
		case <-done:
		case <-time.After(patience):
		}
	}
	all.Wait()
}

func (in *Injector) stopNamed(ctx context.Context, j *injection) error {
	if err := in.stop(ctx, j); err != nil {
		return fmt.Errorf("fault %s: %w", j.ID, err)
	}
	return nil
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
		if text := err.Error(); text != j.told { // it is tried again when the run ends
			j.told = text
			in.report(j, record.FaultFailed, err)
		}
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
