// Package inject carries faults through their life: undo on disk, inject, seen
// biting, revert, seen gone. Kinds are dumb; what must never go wrong is here.
package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"squall/faults"
	"squall/runner/record"
)

// observeEvery is how often a standing fault is looked at.
const observeEvery = 50 * time.Millisecond

// Injector injects faults and reverts them. It is safe for concurrent use.
type Injector struct {
	Registry faults.Registry
	Find     func(name string) (faults.Target, error)
	Journal  *Journal
	Locator  json.RawMessage    // of the environment, for heal
	Report   func(record.Fault) // told of every transition

	mu     sync.Mutex
	active []*injection // oldest first
}

// Spec is one fault to inject.
type Spec struct {
	ID     string
	Kind   string
	On     string
	Seed   uint64
	Decode func(into any) error // the parameters
}

// injection is one fault under way. Its mutex is held for whole steps: one
// fault's life is a sequence.
type injection struct {
	Spec
	kind   faults.Kind
	fault  faults.Fault
	target faults.Target
	undo   json.RawMessage

	mu      sync.Mutex
	state   record.FaultState
	receipt faults.Receipt

	stopMonitor context.CancelFunc
	monitored   chan struct{}
}

func (j *injection) x() faults.Injection {
	return faults.Injection{ID: j.ID, Target: j.target, Seed: j.Seed}
}

// Start injects one fault. After an error it is reverted by Stop or StopAll
// like any other; nothing that has an intent on disk is forgotten.
func (in *Injector) Start(ctx context.Context, s Spec) error {
	j, err := in.prepare(ctx, s)
	if err != nil {
		in.Report(record.Fault{ID: s.ID, Kind: s.Kind, On: s.On, State: record.FaultFailed, Error: err.Error()})
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.fault.Inject(ctx, j.x()); err != nil {
		err = fmt.Errorf("inject: %w", err)
		in.report(j, record.FaultFailed, err)
		return err
	}
	if err := in.Journal.Append(j.line(StepInjected)); err != nil {
		return err
	}
	if err := in.advance(j, record.FaultInjected); err != nil {
		return err
	}
	in.monitor(ctx, j)
	return nil
}

// prepare ends with the intent on disk.
func (in *Injector) prepare(ctx context.Context, s Spec) (*injection, error) {
	kind, err := in.Registry.Kind(s.Kind)
	if err != nil {
		return nil, err
	}
	fault, err := kind.New(s.Decode)
	if err != nil {
		return nil, err
	}
	target, err := in.Find(s.On)
	if err != nil {
		return nil, err
	}
	j := &injection{Spec: s, kind: kind, fault: fault, target: target}
	if err := in.reserve(j); err != nil {
		return nil, err
	}
	if j.undo, err = j.fault.Prepare(ctx, j.x()); err != nil {
		in.release(j)
		return nil, fmt.Errorf("prepare: %w", err)
	}
	intent := j.line(StepIntent)
	intent.Undo, intent.Locator = j.undo, in.Locator
	if err := in.Journal.Append(intent); err != nil {
		in.release(j)
		return nil, err
	}
	return j, in.advance(j, record.FaultIntent)
}

func (j *injection) line(s Step) Line {
	return Line{ID: j.ID, Kind: j.Kind, On: j.On, Step: s, By: "runner"}
}

func (in *Injector) reserve(j *injection) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if slices.ContainsFunc(in.active, func(o *injection) bool { return o.ID == j.ID }) {
		return fmt.Errorf("fault %s is in force already", j.ID)
	}
	in.active = append(in.active, j)
	return nil
}

func (in *Injector) release(j *injection) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.active = slices.DeleteFunc(in.active, func(o *injection) bool { return o == j })
}

// Stop reverts one fault and returns when it is seen gone.
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

// StopAll reverts whatever stands, newest first; one that fails does not keep
// the others from being reverted.
func (in *Injector) StopAll(ctx context.Context) error {
	in.mu.Lock()
	all := slices.Clone(in.active)
	in.mu.Unlock()
	var errs []error
	for _, j := range slices.Backward(all) {
		if err := in.stop(ctx, j); err != nil {
			errs = append(errs, fmt.Errorf("fault %s: %w", j.ID, err))
		}
	}
	return errors.Join(errs...)
}

func (in *Injector) stop(ctx context.Context, j *injection) error {
	if j.stopMonitor != nil {
		j.stopMonitor()
		<-j.monitored
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != record.FaultReverted {
		in.look(ctx, j) // the last receipt
		if err := in.revert(ctx, j); err != nil {
			in.report(j, record.FaultFailed, err)
			return err
		}
	}
	if err := in.awaitGone(ctx, j); err != nil {
		in.report(j, record.FaultFailed, err)
		return err
	}
	in.release(j)
	return in.advance(j, record.FaultGone)
}

func (in *Injector) revert(ctx context.Context, j *injection) error {
	if err := j.kind.Revert(ctx, j.x(), j.undo); err != nil && !errors.Is(err, faults.ErrGone) {
		return fmt.Errorf("revert: %w", err)
	}
	if err := in.Journal.Append(j.line(StepReverted)); err != nil {
		return err
	}
	return in.advance(j, record.FaultReverted)
}

// awaitGone waits until the fault is observed not to be in force.
func (in *Injector) awaitGone(ctx context.Context, j *injection) error {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for {
		e, err := j.fault.Observe(ctx, j.x())
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

// monitor looks at a standing fault until it is stopped: the first receipt
// makes it biting.
func (in *Injector) monitor(ctx context.Context, j *injection) {
	ctx, j.stopMonitor = context.WithCancel(context.WithoutCancel(ctx))
	j.monitored = make(chan struct{})
	go func() {
		defer close(j.monitored)
		tick := time.NewTicker(observeEvery)
		defer tick.Stop()
		for {
			j.mu.Lock()
			in.look(ctx, j)
			j.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

// look refreshes the receipt. A look that fails leaves the last one: the fault
// has bitten as far as was seen.
func (in *Injector) look(ctx context.Context, j *injection) {
	e, err := j.fault.Observe(ctx, j.x())
	if err != nil || e.Receipt.Hits < j.receipt.Hits {
		return
	}
	j.receipt = e.Receipt
	if j.receipt.Hits > 0 && j.state == record.FaultInjected {
		_ = in.advance(j, record.FaultBiting) // allowed from injected
	}
}

func (in *Injector) advance(j *injection, to record.FaultState) error {
	if err := advance(j.ID, j.state, to); err != nil {
		return err
	}
	j.state = to
	in.report(j, to, nil)
	return nil
}

func (in *Injector) report(j *injection, state record.FaultState, err error) {
	f := record.Fault{ID: j.ID, Kind: j.Kind, On: j.On, State: state, Detail: j.fault.Describe()}
	if r := j.receipt; r.Unit != "" {
		f.Receipt = &record.Receipt{Hits: r.Hits, Unit: r.Unit, First: r.First, Last: r.Last, Items: r.Items, Note: r.Note}
	}
	if err != nil {
		f.Error = err.Error()
	}
	in.Report(f)
}
