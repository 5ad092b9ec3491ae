package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/verdict"
)

// ErrAborted marks why a live run ends before its time: a guardrail or a person.
var ErrAborted = errors.New("aborted")

// Live is a run that somebody else drives step by step, such as a game day. The
// engine brings the system up, observes it, carries faults and ends it all; what
// happens when is the driver's. Start, Stop, Load and Unload may be under way while
// it is looked at; nothing else is safe for concurrent use.
type Live struct{ e *engine }

// NewLive makes a live run and starts nothing. Whatever it is told afterwards,
// End must be called.
func NewLive(cfg Config) (*Live, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, err
	}
	e.observeEvents()
	return &Live{e}, nil
}

// Up boots or attaches to the system, takes its picture and observes it.
func (l *Live) Up(ctx context.Context) error {
	if err := l.e.boot(ctx); err != nil {
		return err
	}
	return l.e.observe(ctx)
}

// Load starts the plan's load; it returns when traffic flows.
func (l *Live) Load(ctx context.Context) error { return l.e.startLoad(ctx) }

// Unload ends the load, if there is any.
func (l *Live) Unload(ctx context.Context) error { return l.e.stopLoad(ctx) }

// Steady lets the baseline pass and asks whether the steady state held.
func (l *Live) Steady(ctx context.Context) error {
	err := l.e.phase(ctx, plan.Baseline, func(ctx context.Context, ph plan.Phase) error {
		return l.wait(ctx, ph.Longest)
	})
	if err != nil {
		return err
	}
	return l.e.steady(ctx)
}

func (l *Live) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Phase marks the start or the end of a phase in the record.
func (l *Live) Phase(name, event string) error {
	return l.e.Record.Append(record.TypePhase, record.Phase{Name: name, Event: event})
}

// Start injects a fault of the plan and returns when it is in.
func (l *Live) Start(ctx context.Context, f plan.Fault) error {
	if err := l.e.injector.Start(ctx, injection(f)); err != nil {
		return fmt.Errorf("inject fault %s: %w", f.ID, err)
	}
	return nil
}

// Stop reverts one fault and returns when it is seen gone. That ctx is
// cancelled does not keep it from doing so.
func (l *Live) Stop(ctx context.Context, id string) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	return l.e.injector.Stop(undo, id)
}

// Look reads the record on and says whether the run can go on: environment and
// load are there.
func (l *Live) Look() error {
	select {
	case who := <-l.e.died:
		return errors.New(who)
	default:
	}
	select {
	case <-l.e.loadEnded():
		return fmt.Errorf("load ended: %w", l.e.gen.Err())
	default:
	}
	return l.e.run.Refresh()
}

// Guardrails judges each guardrail of a judge over its last window.
func (l *Live) Guardrails(ctx context.Context, j *verdict.Judge) []verdict.Finding {
	return j.Guardrails(ctx, l.e.run)
}

// Run is the record as read by the last Look.
func (l *Live) Run() *record.Run { return l.e.run }

// End undoes what stands, compares the world with its picture from before, ends
// what Up started and closes the record. why is nil where the run went as planned.
func (l *Live) End(ctx context.Context, why error) (record.End, error) {
	end := l.e.finish(ctx, why)
	l.e.looks.Stop()
	return end, l.e.Record.Close(end)
}

func newEngine(cfg Config) (*engine, error) {
	e := &engine{Config: cfg, died: make(chan string, 1)}
	run, err := record.Open(cfg.Record.Dir())
	if err != nil {
		return nil, err
	}
	e.run, e.looks = run, time.NewTicker(look)
	e.injector = &inject.Injector{
		Registry: cfg.Registry, Find: cfg.Env.Target, Journal: cfg.Journal, Locator: cfg.Env.Locator, Owner: cfg.Owner, Lease: cfg.Lease,
		// A transition that cannot be written shows as a gap of the record.
		Report: func(f record.Fault) { _ = cfg.Record.Append(record.TypeFault, f) },
	}
	return e, nil
}
