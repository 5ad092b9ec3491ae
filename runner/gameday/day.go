package gameday

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/faults"
	"squall/runner/engine"
	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// Config is one day.
type Config struct {
	Compiled *Compiled
	Env      targets.Environment
	Record   *record.Writer
	Journal  *inject.Journal
	Registry faults.Registry
	K6       string // binary; unused without a load
	Script   string // path of the load script
	Owner    string // of stages and leases
	Lease    time.Duration
	Getenv   func(string) string         // of squall's own environment
	Heal     func(context.Context) error // reverts what the journal leaves open, as another process would
	// Scenario runs a step that is a scenario and returns its verdict.
	Scenario func(ctx context.Context, id string, sub *Sub, env targets.Environment) (ScenarioEnd, error)
	Desk     *Desk
	Approved []string         // who approved the plan
	Window   *spec.TimeWindow // that the day must stay in; nil: at any time
}

// ScenarioEnd is how a scenario of a day ended.
type ScenarioEnd struct {
	Verdict string // pass, fail, ...
	Why     string // one sentence
	Dir     string // its run directory, below the day's
	Aborted bool   // a guardrail or a person
	Dirty   []string
}

// How often the day looks at its guardrails, and writes down how they stand.
const (
	look  = 250 * time.Millisecond
	noted = time.Second
)

func aborted(format string, args ...any) error {
	return fmt.Errorf("%w "+format, append([]any{engine.ErrAborted}, args...)...)
}

type day struct {
	cfg        Config
	env        *shared
	live       *engine.Live
	guardrails *verdict.Judge
	signals    *verdict.Judge
	current    Step
	followed   spec.Playbook   // the last one: its signals are watched until they are seen to be over
	seen       map[string]bool // signals of the current step
	looks      *time.Ticker
	wrote      time.Time // when it last wrote down how the guardrails stand
	watching   bool      // guardrails count
	deadline   <-chan time.Time
	late       string // which deadline that is
}

// Run runs a day and heals whatever it did, however it ends. How it ended is also
// in the record; the error is about the record itself.
func Run(ctx context.Context, cfg Config) (record.End, error) {
	c := cfg.Compiled
	guardrails, ps := verdict.NewJudge(c.Day.Watched(false), c.System)
	signals, more := verdict.NewJudge(c.Day.Watched(true), c.System)
	if ps = append(ps, more...); len(ps) > 0 {
		return record.End{}, ps
	}
	env := newShared(cfg.Env)
	live, err := engine.NewLive(engine.Config{
		Plan: c.Live, Scenario: c.Day.Watched(false), System: c.System, Judge: guardrails,
		Env: env.view(), Record: cfg.Record, Journal: cfg.Journal, Registry: cfg.Registry,
		K6: cfg.K6, Script: cfg.Script, Owner: cfg.Owner, Lease: cfg.Lease, Heal: cfg.Heal, Getenv: cfg.Getenv,
	})
	if err != nil {
		return record.End{}, err
	}
	d := &day{cfg: cfg, env: env, live: live, guardrails: guardrails, signals: signals, seen: map[string]bool{}, looks: time.NewTicker(look)}
	defer d.looks.Stop()
	over, late := cfg.ends(time.Now())
	deadline := time.NewTimer(time.Until(over))
	defer deadline.Stop()
	d.deadline, d.late = deadline.C, late
	why := d.steps(ctx)
	cfg.Desk.close()
	return live.End(ctx, why)
}

// ends is when a day that begins now is over in any case, and why then.
func (cfg Config) ends(now time.Time) (time.Time, string) {
	longest := cfg.Compiled.Day.Spec.Deadline
	at, why := now.Add(time.Duration(longest)), fmt.Sprintf("the deadline of %s has passed", longest)
	if w := cfg.Window; w != nil && w.End(now).Before(at) {
		at, why = w.End(now), fmt.Sprintf("the window %s has ended", w)
	}
	return at, why
}

func (d *day) steps(ctx context.Context) error {
	for _, name := range d.cfg.Approved {
		_ = d.cfg.Record.Append(record.TypeMark, record.Mark{What: "approved", Author: name})
	}
	if err := d.during(ctx, d.live.Up); err != nil {
		return err
	}
	if err := d.resolve(); err != nil {
		return err
	}
	if d.cfg.Compiled.Day.Spec.Load != nil {
		if err := d.during(ctx, d.live.Load); err != nil {
			return err
		}
	}
	if err := d.steady(ctx); err != nil {
		return err
	}
	if err := d.live.Phase(plan.FaultOn, "start"); err != nil {
		return err
	}
	d.watching = true
	for _, s := range d.cfg.Compiled.Plan.Steps {
		if err := d.step(ctx, s); err != nil {
			return err
		}
	}
	return d.live.Phase(plan.FaultOn, "end")
}

// steady measures the steady state; nobody is asked before it has held.
func (d *day) steady(ctx context.Context) error {
	// The record is read by the engine meanwhile, so it is not looked at here.
	return d.during(ctx, d.live.Steady)
}

// resolve refuses to begin while any target resolves to nothing.
func (d *day) resolve() error {
	var errs []error
	find := func(faults []plan.Fault) {
		for _, f := range faults {
			for _, t := range f.Targets {
				if _, err := d.cfg.Env.Target(t.Name); err != nil {
					errs = append(errs, fmt.Errorf("preflight: fault %s: %s: %w", f.ID, t.Name, err))
				}
			}
		}
	}
	find(d.cfg.Compiled.Live.Faults)
	for _, sub := range d.cfg.Compiled.Subs {
		find(sub.Plan.Faults)
	}
	return errors.Join(errs...)
}

func (d *day) step(ctx context.Context, s Step) error {
	d.current, d.seen = s, map[string]bool{}
	if p, ok := d.cfg.Compiled.Day.Playbook(s.Playbook); ok {
		d.followed = p
	}
	entry := record.Step{ID: s.ID, Does: strings.TrimSuffix(s.Does+": "+s.Says, ": "), State: record.StepBegun}
	if err := d.cfg.Record.Append(record.TypeStep, entry); err != nil {
		return err
	}
	text, err := d.do(ctx, s)
	entry.State, entry.Text = record.StepDone, text
	if err != nil {
		entry.State, entry.Error = record.StepFailed, err.Error()
	}
	d.current = Step{}
	return errors.Join(err, d.cfg.Record.Append(record.TypeStep, entry))
}

func (d *day) do(ctx context.Context, s Step) (string, error) {
	switch s.Does {
	case spec.DoesWait:
		return d.wait(ctx, s)
	case spec.DoesHold:
		_, err := d.watch(ctx, length(s.Longest), nil)
		return "", err
	case spec.DoesScenario:
		return d.scenario(ctx, s)
	}
	for _, f := range s.Faults {
		moved, err := d.fault(ctx, f)
		if err != nil {
			return "", err
		}
		if moved {
			return "ended by a person", nil
		}
	}
	return "", nil
}

// wait waits for a person; where it has a limit and nobody came, the day ends.
func (d *day) wait(ctx context.Context, s Step) (string, error) {
	longest := length(s.Longest)
	if longest == 0 {
		longest = time.Duration(d.cfg.Compiled.Day.Spec.Deadline)
	}
	moved, err := d.watch(ctx, longest, nil)
	if err == nil && !moved {
		err = aborted("because nobody said go within %s", spec.Duration(longest))
	}
	return "", err
}

// fault injects one fault, lets it stand, and reverts it.
func (d *day) fault(ctx context.Context, f Fault) (moved bool, err error) {
	i := slices.IndexFunc(d.cfg.Compiled.Live.Faults, func(p plan.Fault) bool { return p.ID == f.ID })
	if err := d.during(ctx, func(ctx context.Context) error { return d.live.Start(ctx, d.cfg.Compiled.Live.Faults[i]) }); err != nil {
		return false, err
	}
	if moved, err = d.watch(ctx, length(f.Stands), nil); err != nil {
		return false, err
	}
	if err := d.during(ctx, func(ctx context.Context) error { return d.live.Stop(ctx, f.ID) }); err != nil {
		return moved, fmt.Errorf("revert %w", err)
	}
	return moved, nil
}

// scenario runs beside the day's own load. Its verdict is a finding; only an
// abort or something that it left ends the day.
func (d *day) scenario(ctx context.Context, s Step) (string, error) {
	var end ScenarioEnd
	err := d.during(ctx, func(ctx context.Context) (err error) {
		end, err = d.cfg.Scenario(ctx, s.ID, d.cfg.Compiled.Subs[s.ID], d.env.view())
		return err
	})
	text := fmt.Sprintf("%s: %s (%s)", end.Verdict, end.Why, end.Dir)
	switch {
	case err != nil:
		return "", err
	case len(end.Dirty) > 0:
		return text, fmt.Errorf("scenario %s left something: %s", s.ID, strings.Join(end.Dirty, "; "))
	case end.Aborted:
		return text, aborted("by scenario %s: %s", s.ID, end.Why)
	}
	return text, nil
}

func length(text string) time.Duration {
	var d spec.Duration
	if text == "" || d.FromScalar(text) != nil {
		return 0
	}
	return time.Duration(d)
}

// during does an act that may take its time, and listens and watches meanwhile;
// if the day must end, so must the act.
func (d *day) during(ctx context.Context, act func(context.Context) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	var failed error
	go func() {
		defer close(over)
		failed = act(inner)
	}()
	_, err := d.watch(ctx, 0, over)
	cancel()
	<-over
	if err != nil {
		return err // that the act was cut off is no second reason
	}
	return failed
}

// watch listens to people and looks after guardrails for a while, or until over
// is closed. It says whether a person moved the step on.
func (d *day) watch(ctx context.Context, longest time.Duration, over <-chan struct{}) (moved bool, err error) {
	var end <-chan time.Time
	if over == nil {
		t := time.NewTimer(longest)
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-d.deadline:
			return false, aborted("because %s", d.late)
		case s := <-d.cfg.Desk.in:
			moves, err := d.hear(s)
			if err != nil || moves && over == nil {
				return moves, err
			}
		case <-end:
			return false, nil
		case <-over:
			return false, nil
		case <-d.looks.C:
			if !d.watching {
				continue
			}
			if err := d.look(ctx); err != nil {
				return false, err
			}
		}
	}
}

// look ends the day where a guardrail is broken, and notes signals that are seen.
func (d *day) look(ctx context.Context) error {
	if err := d.live.Look(); err != nil {
		return err
	}
	write := time.Since(d.wrote) >= noted
	if write {
		d.wrote = time.Now()
	}
	for _, f := range d.live.Guardrails(ctx, d.guardrails) {
		if write || f.Verdict == verdict.Fail {
			d.note("guardrail", f)
		}
		if f.Verdict == verdict.Fail {
			return aborted("by guardrail %s: %s", f.ID, f.Why)
		}
	}
	return d.lookAtSignals(ctx, write)
}

// lookAtSignals notes how the signals of the playbook stand, also once its step
// is over: people want to see that they go. They count as seen only during it.
func (d *day) lookAtSignals(ctx context.Context, write bool) error {
	if len(d.followed.Signals) == 0 {
		return nil
	}
	for _, f := range d.live.Guardrails(ctx, d.signals) {
		if !slices.ContainsFunc(d.followed.Signals, func(g spec.Guardrail) bool { return g.ID == f.ID }) {
			continue
		}
		if write {
			d.note("signal", f)
		}
		if f.Verdict != verdict.Fail || d.seen[f.ID] || d.current.Playbook != d.followed.ID {
			continue
		}
		d.seen[f.ID] = true
		m := record.Mark{What: "signal", Step: d.current.ID, On: f.ID, Text: f.Measured}
		if err := d.cfg.Record.Append(record.TypeMark, m); err != nil {
			return err
		}
	}
	return nil
}

func (d *day) note(group string, f verdict.Finding) {
	state := map[verdict.Verdict]string{verdict.Pass: "kept", verdict.Fail: "crossed"}[f.Verdict]
	if state == "" {
		state = "unclear"
	}
	measured := f.Measured
	if state == "unclear" {
		measured = f.Why
	}
	// A failed write shows as a gap of the record.
	_ = d.cfg.Record.Append(record.TypeWatch, record.Watch{ID: f.ID, Group: group, State: state, Bound: f.Expected, Measured: measured})
}
