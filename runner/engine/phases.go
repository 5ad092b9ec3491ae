package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/verdict"
)

// How often the record is read back while a phase goes on, so that a guardrail
// ends the run within a second, and how often the judge is asked whether the
// phase may end, for which it judges everything.
const (
	look     = 250 * time.Millisecond
	askEvery = time.Second
)

// timeline does what is planned for a phase, and lets it last its length, or
// until over says so once nothing but reverts is left of the plan. At its end no
// fault stands.
func (e *engine) timeline(over func(context.Context) bool) func(context.Context, plan.Phase) error {
	return func(ctx context.Context, ph plan.Phase) error {
		begun, ended := time.Now(), false
		ask := func(ctx context.Context) bool {
			ended = ended || over != nil && over(ctx)
			return ended
		}
		reach := func(ctx context.Context, at time.Duration, may func(context.Context) bool) error {
			if ended {
				return context.Cause(ctx)
			}
			return e.wait(ctx, begun.Add(at), ph.Name, may)
		}
		steps := e.Plan.Steps(ph.Name)
		for i, s := range steps {
			may := ask
			if slices.ContainsFunc(steps[i:], func(s plan.Step) bool { return !s.Revert }) {
				may = nil
			}
			if s.At > 0 || s.Action != nil {
				e.watches.begin()
			}
			if err := reach(ctx, s.At, may); err != nil {
				return err
			}
			if s.Revert && (ended || s.At >= ph.Longest) {
				e.watches.calm()
			}
			if err := e.during(ctx, ph.Name, func(ctx context.Context) error { return e.step(ctx, s) }); err != nil {
				return err
			}
		}
		e.watches.begin()
		return reach(ctx, ph.Longest, ask)
	}
}

// wait waits until the instant, or until over says so, watching over the run.
func (e *engine) wait(ctx context.Context, until time.Time, phase string, over func(context.Context) bool) error {
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	return e.watch(ctx, phase, end.C, over)
}

// watch looks after generator, environment and guardrails until the channel delivers.
func (e *engine) watch(ctx context.Context, phase string, until <-chan time.Time, over func(context.Context) bool) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-until:
			return nil
		case who := <-e.died:
			return errors.New(who)
		case <-e.loadEnded():
			return fmt.Errorf("load ended during %s: %w", phase, e.gen.Err())
		case <-e.looks.C:
			if err := e.look(ctx, phase); err != nil {
				return err
			}
			if over != nil && time.Since(e.asked) >= askEvery {
				if e.asked = time.Now(); over(ctx) {
					return nil
				}
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

func (e *engine) look(ctx context.Context, phase string) error {
	if err := e.run.Refresh(); err != nil {
		return err
	}
	if phase == plan.Warmup || phase == plan.Baseline {
		return nil
	}
	for _, f := range e.Judge.Guardrails(ctx, e.run) {
		if f.Verdict == verdict.Fail {
			return fmt.Errorf("%w %s: %s", errGuardrail, f.ID, f.Why)
		}
	}
	return nil
}

// settled reports that no rest of the fault phase can change a verdict.
func (e *engine) settled(ctx context.Context) bool {
	if !e.Judge.Settled(ctx, e.run) {
		return false
	}
	e.note("info", "the fault phase ends early: no rest of it could change a verdict")
	return true
}

// recovered reports that every assertion that can be decided while the load
// runs has passed, so that waiting longer shows nothing new.
func (e *engine) recovered(ctx context.Context) bool { return e.Judge.Recovered(ctx, e.run) }

func (e *engine) step(ctx context.Context, s plan.Step) error {
	if s.Action != nil {
		return e.act(ctx, s.Action)
	}
	if s.Revert {
		undo, cancel := context.WithTimeout(ctx, undoWithin)
		defer cancel()
		var ids []string
		for _, f := range s.Faults {
			ids = append(ids, f.ID)
		}
		if err := e.injector.Stop(undo, ids...); err != nil {
			return fmt.Errorf("revert %w", err)
		}
		return nil
	}
	for _, f := range s.Faults {
		if err := e.injector.Start(ctx, injection(f)); err != nil {
			return fmt.Errorf("inject fault %s: %w", f.ID, err)
		}
	}
	return nil
}

func injection(f plan.Fault) inject.Spec {
	s := inject.Spec{ID: f.ID, Kind: f.Kind, On: f.On, Seed: f.Seed}
	for _, t := range f.Targets {
		s.Targets = append(s.Targets, inject.Target{Name: t.Name, Kind: t.Kind, Step: t.Step, Decode: t.Decode})
	}
	return s
}
