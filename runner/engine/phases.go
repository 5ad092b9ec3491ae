package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/verdict"
)

// look is how often the record is read back while a phase goes on.
const look = time.Second

// hold lets a phase last its length, or until done says so.
func (e *engine) hold(done func(context.Context) (bool, error)) func(context.Context, plan.Phase) error {
	return func(ctx context.Context, ph plan.Phase) error {
		return e.wait(ctx, time.Now().Add(ph.Longest), ph.Name, done)
	}
}

// wait waits until the instant, watching over the run.
func (e *engine) wait(ctx context.Context, until time.Time, phase string, done func(context.Context) (bool, error)) error {
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	return e.watch(ctx, phase, end.C, done)
}

// watch looks after generator, environment and guardrails until the channel delivers.
func (e *engine) watch(ctx context.Context, phase string, until <-chan time.Time, done func(context.Context) (bool, error)) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-until:
			return nil
		case who := <-e.died:
			return errors.New(who)
		case <-e.gen.Done():
			return fmt.Errorf("load ended during %s: %w", phase, e.gen.Err())
		case <-e.looks.C:
			stop, err := e.look(ctx, phase, done)
			if err != nil || stop {
				return err
			}
		}
	}
}

// during runs a step that may take its time, such as a restart, and watches
// meanwhile; if the run must stop, so must the step.
func (e *engine) during(ctx context.Context, phase string, step func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan time.Time, 1)
	var failed error
	go func() {
		failed = step(ctx)
		ended <- time.Now()
	}()
	if err := e.watch(ctx, phase, ended, nil); err != nil {
		cancel()
		<-ended
		return err
	}
	return failed
}

func (e *engine) look(ctx context.Context, phase string, done func(context.Context) (bool, error)) (bool, error) {
	if err := e.run.Refresh(); err != nil {
		return false, err
	}
	if phase != plan.Warmup && phase != plan.Baseline {
		for _, f := range e.Judge.Guardrails(ctx, e.run) {
			if f.Verdict == verdict.Fail {
				return false, fmt.Errorf("%w %s: %s", errGuardrail, f.ID, f.Why)
			}
		}
	}
	if done == nil {
		return false, nil
	}
	return done(ctx)
}

// recovered reports that every assertion that can be decided while the load
// runs has passed, so that waiting longer shows nothing new.
func (e *engine) recovered(ctx context.Context) (bool, error) {
	return e.Judge.Recovered(ctx, e.run), nil
}

// faults injects and reverts by the plan; at the end no fault stands.
func (e *engine) faults(ctx context.Context, ph plan.Phase) error {
	begun := time.Now()
	for _, s := range e.Plan.Steps() {
		if err := e.wait(ctx, begun.Add(s.At), ph.Name, nil); err != nil {
			return err
		}
		if err := e.during(ctx, ph.Name, func(ctx context.Context) error { return e.step(ctx, s) }); err != nil {
			return err
		}
	}
	return e.wait(ctx, begun.Add(ph.Longest), ph.Name, nil)
}

func (e *engine) step(ctx context.Context, s plan.Step) error {
	if s.Revert {
		undo, cancel := context.WithTimeout(ctx, undoWithin)
		defer cancel()
		if err := e.injector.Stop(undo, s.Fault.ID); err != nil {
			return fmt.Errorf("revert fault %s: %w", s.Fault.ID, err)
		}
		return nil
	}
	if err := e.injector.Start(ctx, injection(s.Fault)); err != nil {
		return fmt.Errorf("inject fault %s: %w", s.Fault.ID, err)
	}
	return nil
}

func injection(f plan.Fault) inject.Spec {
	s := inject.Spec{ID: f.ID, Kind: f.Kind, On: f.On, Decode: f.Decode}
	for _, t := range f.Targets {
		s.Targets = append(s.Targets, inject.Target{Name: t.Name, Seed: t.Seed})
	}
	return s
}
