// Package inject carries faults through their life: undo on disk, inject, seen
// biting, revert, seen gone. Kinds are dumb; what must never go wrong is here.
package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/faults"
	"squall/runner/record"
)

// Bounds of steps that normally take milliseconds. Reverting may have to start
// a service and wait until it is ready.
const (
	injectWithin = 15 * time.Second
	stopWithin   = 30 * time.Second
)

// Injector injects faults and reverts them. It is safe for concurrent use.
type Injector struct {
	Registry faults.Registry
	Find     func(name string) (faults.Target, error)
	Journal  *Journal
	Owner    string                 // of whatever can end without us: the run
	Lease    time.Duration          // of the same: it ends unless renewed; 0: never
	Locator  func() json.RawMessage // of the environment, asked at each injection, for heal
	Report   func(record.Fault)     // told of every transition, one call at a time per fault

	mu     sync.Mutex
	active []*injection // oldest first
}

// Spec is one fault to inject.
type Spec struct {
	ID      string
	Kind    string
	On      string // as the scenario names it
	Seed    uint64
	Targets []Target
}

// Target is one thing that a fault acts on: a name that Find knows, once in a
// fault, and what is done to it. Targets of a lower step come first; all of one
// step are acted on at once.
type Target struct {
	Name   string
	Kind   string
	Step   int
	Decode func(into any) error // the parameters
}

// injection is one fault under way, with a part for each target. Its mutex is
// held for whole steps: one fault's life is a sequence.
type injection struct {
	Spec
	says  []string // by kind, in words
	parts []*part  // in the order of their steps

	mu      sync.Mutex
	state   record.FaultState
	receipt faults.Receipt // of all parts
	fell    bool           // a part has been seen not in force any more, before it was reverted
	told    string         // why its undo failed, as last reported
	watch   watch
}

// Start injects one fault and returns when it is in; whether it bites is seen
// later and reported. Where injecting fails, what was done is reverted at once;
// where that fails too, the fault is kept for Stop and StopAll.
func (in *Injector) Start(ctx context.Context, s Spec) error {
	j, err := in.prepare(ctx, s)
	if err != nil {
		failed := s.fault(record.FaultFailed)
		failed.Error = err.Error()
		in.Report(failed)
		return err
	}
	err = in.inject(ctx, j)
	if err == nil {
		return nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if undoErr := in.stop(undo, j); undoErr != nil {
		return fmt.Errorf("%w (and %w)", err, undoErr)
	}
	return err
}

func (in *Injector) inject(ctx context.Context, j *injection) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, injectWithin)
	defer cancel()
	var err error
	for _, step := range j.steps() {
		err = each(step, func(p *part) error {
			if err := p.fault.Inject(bounded, p.x); err != nil {
				return fmt.Errorf("inject: %w", err)
			}
			return in.Journal.Append(j.line(p, StepInjected))
		})
		if err != nil {
			break
		}
	}
	if err != nil {
		in.report(j, record.FaultFailed, err)
		return err
	}
	if err := in.advance(j, record.FaultInjected); err != nil {
		return err
	}
	in.observe(ctx, j)
	return nil
}

// prepare ends with the intents on disk.
func (in *Injector) prepare(ctx context.Context, s Spec) (*injection, error) {
	j := &injection{Spec: s}
	for _, t := range s.Targets {
		p, err := in.part(j, t)
		if err != nil {
			return nil, err
		}
		j.parts = append(j.parts, p)
		if says := p.fault.Describe(); !slices.Contains(j.says, says) {
			j.says = append(j.says, says)
		}
	}
	slices.SortStableFunc(j.parts, func(a, b *part) int { return a.step - b.step })
	if len(j.parts) == 0 {
		return nil, errors.New("it has no target")
	}
	if err := in.reserve(j); err != nil {
		return nil, err
	}
	if err := in.intend(ctx, j); err != nil {
		in.release(j)
		return nil, err
	}
	return j, nil
}

// intend writes the intent of every part before anything is done to any.
func (in *Injector) intend(ctx context.Context, j *injection) error {
	bounded, cancel := context.WithTimeout(ctx, injectWithin)
	defer cancel()
	err := each(j.parts, func(p *part) (err error) {
		if p.undo, err = p.fault.Prepare(bounded, p.x); err != nil {
			err = fmt.Errorf("prepare: %w", err)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, p := range j.parts {
		intent := j.line(p, StepIntent)
		intent.Undo, intent.Locator = p.undo, in.Locator()
		if err := in.Journal.Append(intent); err != nil {
			return errors.Join(err, in.withdraw(j, j.parts[:i]))
		}
	}
	return in.advance(j, record.FaultIntent)
}

// withdraw closes intents on which nothing was done. Where that fails they stay
// open, and healing them does nothing.
func (in *Injector) withdraw(j *injection, parts []*part) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, in.Journal.Append(j.line(p, StepReverted)))
	}
	return errors.Join(errs...)
}

func (j *injection) line(p *part, s Step) Line {
	return Line{ID: j.ID, Kind: p.kind.Name, On: p.name, Step: s, By: "runner"}
}

func (in *Injector) reserve(j *injection) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if slices.ContainsFunc(in.active, func(o *injection) bool { return o.ID == j.ID }) {
		return fmt.Errorf("fault %s is in force already", j.ID)
	}
	for _, o := range in.active {
		if err := j.conflicts(o); err != nil {
			return err
		}
	}
	in.active = append(in.active, j)
	return nil
}

// conflicts refuses what o, which stands, has to itself. A plan refuses that
// before; faults that a person adds by hand have none.
func (j *injection) conflicts(o *injection) error {
	for _, p := range j.parts {
		claim := faults.Claimed(p.fault)
		if claim == "" {
			continue
		}
		i := slices.IndexFunc(o.parts, func(q *part) bool { return q.name == p.name && faults.Claimed(q.fault) == claim })
		if i >= 0 {
			return fmt.Errorf("%s needs the %s of %s to itself, and so does %s of fault %s, which stands", p.kind.Name, claim, p.name, o.parts[i].kind.Name, o.ID)
		}
	}
	return nil
}

func (in *Injector) release(j *injection) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.active = slices.DeleteFunc(in.active, func(o *injection) bool { return o == j })
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
	f := j.Spec.fault(state)
	f.Detail = strings.Join(j.says, ", ")
	if r := j.receipt; r.Unit != "" || r.Note != "" {
		f.Receipt = &record.Receipt{Hits: r.Hits, Unit: r.Unit, First: r.First, Last: r.Last, Items: r.Items, Note: r.Note}
	}
	if err != nil {
		f.Error = err.Error()
	}
	in.Report(f)
}

// fault names the targets where they are not what the scenario says.
func (s Spec) fault(state record.FaultState) record.Fault {
	f := record.Fault{ID: s.ID, Kind: s.Kind, On: s.On, State: state}
	for _, t := range s.Targets {
		f.Targets = append(f.Targets, t.Name)
	}
	if slices.Equal(f.Targets, []string{s.On}) {
		f.Targets = nil
	}
	return f
}
