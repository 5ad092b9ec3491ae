package verdict

import (
	"context"
	"fmt"
	"slices"
	"time"

	"squall/runner/metrics"
	"squall/runner/record"
	"squall/scenarios/spec"
)

// minGuardrail is the least number of samples a guardrail acts on: its window
// is short, and it must not wait for certainty.
const minGuardrail = 10

// Judge judges one run, once or again and again while it goes on. It keeps the
// metrics of the run it has seen so far and is not safe for concurrent use.
type Judge struct {
	scenario *spec.Scenario
	system   *spec.System
	checks   []declared

	run     *record.Run
	metrics *querier
	fed     int   // scrapes of run already in the store
	feedErr error // a scrape that the store refused
}

// NewJudge decodes every check of a scenario against the system that is run
// (spec.System.With). With problems, the judge is nil.
func NewJudge(scenario *spec.Scenario, system *spec.System) (*Judge, spec.Problems) {
	j := &Judge{scenario: scenario, system: system}
	var ps spec.Problems
	add := func(c spec.Check, group string, hold time.Duration) {
		d := declare(Declared{Check: c, Group: group, For: hold, Scenario: scenario, System: system})
		j.checks, ps = append(j.checks, d), append(ps, d.problems...)
	}
	for _, c := range scenario.Spec.Steady {
		add(c, "steady", 0)
	}
	for _, c := range scenario.Spec.Expect {
		add(c, "expect", 0)
	}
	for _, g := range scenario.Spec.Guardrails {
		add(kept(g.Check), "guardrail", time.Duration(g.For))
	}
	if len(ps) > 0 {
		ps.Sort()
		return nil, ps
	}
	return j, nil
}

// NeedsSpans reports whether a check wants the traces of the system.
func (j *Judge) NeedsSpans() bool {
	return slices.ContainsFunc(j.checks, func(c declared) bool { return c.kind.NeedsSpans })
}

// Check reports every mistake in the checks of a scenario.
func Check(scenario *spec.Scenario, system *spec.System) spec.Problems {
	_, ps := NewJudge(scenario, system)
	return ps
}

// Judge judges all there is of the run: laws of evidence, steady state,
// assertions and guardrails. On a run that has not ended it says what could be
// said now; such findings are pending and the run is inconclusive.
func (j *Judge) Judge(ctx context.Context, run *record.Run) Result {
	v := j.view(run)
	if run.End != nil && run.End.Reason == record.EndSkipped {
		return conclude(v, j.scenario, j.skipped(run.End.Error))
	}
	var findings []Finding
	for _, c := range j.checks {
		findings = append(findings, j.finding(ctx, v, c))
	}
	findings = append(j.evidence(ctx, v, findings), findings...)
	return conclude(v, j.scenario, findings)
}

// skipped are the findings of a run that was not begun, each with the reason.
func (j *Judge) skipped(why string) []Finding {
	f := law("requirements", "all that the system needs is on this machine")
	f.Verdict, f.Measured, f.Why = Skipped, "not all of it", why
	findings := []Finding{f}
	for _, c := range j.checks {
		f := c.blank()
		f.Verdict, f.Why = Skipped, "not judged: "+why
		findings = append(findings, f)
	}
	return findings
}

// Steady judges the steady state; anything but pass means that it does not hold.
func (j *Judge) Steady(ctx context.Context, run *record.Run) []Finding {
	return j.group(ctx, run, "steady")
}

// Guardrails judges each guardrail over its last window: Fail means abort.
func (j *Judge) Guardrails(ctx context.Context, run *record.Run) []Finding {
	v := j.view(run)
	var out []Finding
	for _, c := range j.checks {
		if c.Group == "guardrail" {
			out = append(out, v.guardrailAt(ctx, c, v.Now))
		}
	}
	return out
}

// Recovered reports that the recovery has been decided: a recovery assertion is,
// and no window of an assertion is still open, however well it looks so far.
// Assertions on the books, which are read later, are not waited for.
func (j *Judge) Recovered(ctx context.Context, run *record.Run) bool {
	v := j.view(run)
	decided := false
	for _, c := range j.checks {
		if c.Group != "expect" || c.kind.NeedsBooks {
			continue
		}
		if j.finding(ctx, v, c).Pending {
			return false
		}
		decided = decided || c.Kind == "recovery"
	}
	return decided
}

// Settled reports that whatever the rest of the fault phase brings, no verdict
// changes: every fault has bitten and every assertion is decided for good. An
// open window is that only where what is broken cannot be mended any more, so
// that looking often makes no verdict likelier than looking once.
func (j *Judge) Settled(ctx context.Context, run *record.Run) bool {
	v := j.view(run)
	for _, x := range j.scenario.Spec.Faults {
		if _, receipt := lifecycle(run, x.ID); receipt.Hits == 0 {
			return false
		}
	}
	for _, c := range j.checks {
		if c.Group == "expect" && (c.kind.NeedsBooks || j.finding(ctx, v, c).Pending) {
			return false
		}
	}
	return true
}

// Balanced reports that no assertion on the books would be broken if the run's were
// these: rows, and the probes that say which sources they are of.
func (j *Judge) Balanced(ctx context.Context, run *record.Run, rows []record.AuditRow, read []record.Probe) bool {
	v := j.view(run)
	with := *run
	with.Audit, with.Probes = rows, slices.Clone(run.Probes)
	for _, p := range read {
		with.Probes = append(with.Probes, record.ProbeEvent{Probe: p})
	}
	v.Run = &with
	return !slices.ContainsFunc(j.checks, func(c declared) bool {
		return c.Group == "expect" && c.kind.NeedsBooks && j.finding(ctx, v, c).Verdict == Fail
	})
}

func (j *Judge) group(ctx context.Context, run *record.Run, group string) []Finding {
	v := j.view(run)
	var out []Finding
	for _, c := range j.checks {
		if c.Group == group {
			out = append(out, j.finding(ctx, v, c))
		}
	}
	return out
}

// view brings the store up to date with the run.
func (j *Judge) view(run *record.Run) *View {
	if j.run != run {
		j.run, j.fed, j.feedErr = run, 0, nil
		j.metrics = &querier{store: metrics.NewStore(), engine: metrics.NewEngine(), zero: run.Header.Started}
	}
	var err error
	if j.fed, err = j.metrics.feed(run.Scrapes, j.fed); err != nil && j.feedErr == nil {
		j.feedErr = err
	}
	return &View{Run: run, System: j.system, scenario: j.scenario, Now: newest(run), metrics: j.metrics}
}

func (j *Judge) finding(ctx context.Context, v *View, c declared) Finding {
	if c.Group == "guardrail" {
		return v.guardrail(ctx, c)
	}
	f := c.blank()
	w, open, found := v.phase(c.During)
	if found {
		f.Window = &w
	}
	switch {
	case c.Group == "expect" && !tried(v.Run):
		f.Pending = v.Live()
		f.unclear("not judged: " + v.untried())
		return f
	case !found:
		f.Pending = v.Live()
		f.unclear("phase " + c.During + " never ran")
		return f
	case !c.kind.Fixed && w.length() < time.Millisecond:
		f.Pending = open
		f.unclear("phase " + c.During + " took no time")
		return f
	case c.kind.NeedsBooks && v.Live() && !booksRead(v.Run):
		f.Pending = true
		f.unclear("the books are read after the load")
		return f
	}
	f.Pending = open && !c.kind.Fixed
	run(ctx, c, v, &f)
	if c.Group == "steady" && f.Verdict == Fail {
		f.unclear("steady state not met: " + f.Why) // the system broke nothing that was promised under the fault
	}
	return f
}

func (c declared) blank() Finding {
	least := c.kind.MinSamples
	if c.Group == "guardrail" {
		least = min(least, minGuardrail)
	}
	if c.MinSamples > 0 {
		least = c.MinSamples
	}
	return Finding{
		ID: c.ID, Kind: c.Kind, Group: c.Group, During: c.During, MinSamples: least, Pos: c.Pos,
		Expected: boundsOf(c.Check).String(), Verdict: Error, Why: "the check gave no verdict",
	}
}

// run lets the checker judge. One that panics is an error, not the end.
func run(ctx context.Context, c declared, v *View, f *Finding) {
	defer func() {
		if p := recover(); p != nil {
			f.Verdict, f.Why = Error, fmt.Sprintf("check %s panicked: %v", c.Kind, p)
		}
	}()
	c.checker.Judge(ctx, v, f)
}
