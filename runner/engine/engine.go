// Package engine executes a plan phase by phase and writes the record. It
// decides nothing about pass or fail: it asks the judge when it must stop, and
// everything else is read from the record afterwards.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/load"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// Config is one run.
type Config struct {
	Plan     *plan.Plan
	Scenario *spec.Scenario
	System   *spec.System
	Judge    *verdict.Judge
	Env      targets.Environment
	Record   *record.Writer
	Journal  *inject.Journal
	Registry faults.Registry
	K6       string // binary
	Script   string // path of the load script
	Owner    string // of stages and leases
	// Heal reverts what the journal leaves open, as another process would.
	Heal   func(context.Context) error
	Lease  time.Duration
	Getenv func(string) string // of squall's own environment: the token of a Prometheus server
	// Traces ends the receiver of the system's traces, once the system has ended; nil: there is none.
	Traces func(context.Context) error
}

// Times the engine allows, each a bound on something that normally takes far less.
const (
	upWithin     = 60 * time.Second
	composeUp    = 3 * time.Minute  // containers are made first, and images may have to be
	flowWithin   = 20 * time.Second // k6 start to first sample
	undoWithin   = 30 * time.Second
	downWithin   = 20 * time.Second
	settleWithin = 12 * time.Second
	tracesWithin = 2 * time.Second
	loadMargin   = 10 * time.Minute // k6 is told to run this much longer than planned; it is always stopped, and dies with us
)

// Why a run stops before its plan ends.
var (
	errNotSteady = errors.New("steady state not met")
	errGuardrail = errors.New("guardrail")
)

type engine struct {
	Config
	injector *inject.Injector
	run      *record.Run // the record as read back
	gen      *load.Process
	before   map[string]string
	obs      observers
	watches  *watches // of the phase
	events   sync.WaitGroup
	looks    *time.Ticker // at the record, one for all phases
	asked    time.Time    // when the judge was last asked whether a phase may end
	died     chan string  // a process of ours that must not end has ended
}

// Run executes the plan, undoes everything and closes the record. How it ended
// is also in the record; the error is about the record itself. However it ends,
// nothing it started is left.
func Run(ctx context.Context, cfg Config) (record.End, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return record.End{}, err
	}
	defer e.looks.Stop()
	runErr := e.experiment(ctx)
	end := e.finish(ctx, runErr)
	return end, cfg.Record.Close(end)
}

// experiment is the run proper: from boot to the end of the recovery.
func (e *engine) experiment(ctx context.Context) error {
	e.observeEvents()
	if err := e.boot(ctx); err != nil {
		return err
	}
	if err := e.observe(ctx); err != nil {
		return err
	}
	if err := e.startLoad(ctx); err != nil {
		return err
	}
	if err := e.phase(ctx, plan.Warmup, e.timeline(nil)); err != nil {
		return err
	}
	if err := e.phase(ctx, plan.Baseline, e.timeline(nil)); err != nil {
		return err
	}
	if err := e.steady(ctx); err != nil {
		return err
	}
	if err := e.phase(ctx, plan.FaultOn, e.timeline(e.settled)); err != nil {
		return err
	}
	if err := e.phase(ctx, plan.Recovery, e.timeline(e.recovered)); err != nil {
		return err
	}
	return e.phase(ctx, plan.Settle, e.settle)
}

func (e *engine) boot(ctx context.Context) error {
	within := upWithin
	if e.System.Spec.Target == spec.TargetCompose {
		within = composeUp
	}
	up, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := e.Env.Up(up); err != nil {
		return fmt.Errorf("start system: %w", err)
	}
	before, err := e.Env.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("snapshot before: %w", err)
	}
	e.before = before
	return nil
}

// phase marks start and end in the record, the end also when do fails.
func (e *engine) phase(ctx context.Context, name string, do func(context.Context, plan.Phase) error) error {
	if err := e.Record.Append(record.TypePhase, record.Phase{Name: name, Event: "start"}); err != nil {
		return err
	}
	e.watches = e.prepareWatches(ctx, name)
	err := do(ctx, e.Plan.Phase(name))
	e.watches.end(err != nil)
	return errors.Join(err, e.Record.Append(record.TypePhase, record.Phase{Name: name, Event: "end"}))
}

// steady asks the judge whether the baseline held; without it nothing is injected.
func (e *engine) steady(ctx context.Context) error {
	if err := e.run.Refresh(); err != nil {
		return err
	}
	findings := e.Judge.Steady(ctx, e.run)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, f := range findings {
		if f.Verdict != verdict.Pass {
			return fmt.Errorf("%w: %s: %s", errNotSteady, f.ID, f.Why)
		}
	}
	return nil
}

func (e *engine) note(level, format string, args ...any) {
	// A note that cannot be written shows as a gap; there is nobody else to tell.
	_ = e.Record.Append(record.TypeNote, record.Note{Author: "squall", Level: level, Text: fmt.Sprintf(format, args...)})
}
