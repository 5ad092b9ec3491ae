package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"squall/runner/metrics"
	"squall/scenarios/spec"
)

// ofRule makes it an alert of the system's rule files.
func (a *alert) ofRule(d *Declared) {
	found, ok := d.System.Alerts[a.Rule]
	if !ok {
		d.fail("rule", fmt.Sprintf("unknown alert %q", a.Rule), spec.Suggest(a.Rule, slices.Sorted(maps.Keys(d.System.Alerts))))
	}
	if a.BudgetAtMost != nil {
		d.fail("budgetAtMost", "budgetAtMost: a rule has no budget", "")
	}
	a.rule, a.Hour = found, cmp.Or(a.Hour, spec.Duration(time.Hour))
}

// scale is how long an hour of the alert's windows is in the run, in hours.
func (a *alert) scale() float64 { return time.Duration(a.Hour).Hours() }

// hold is how long the rule's condition must hold for.
func (a *alert) hold() time.Duration { return time.Duration(float64(a.rule.For) * a.scale()) }

func (a *alert) judgeRule(ctx context.Context, v *View, f *Finding, struck time.Duration) {
	f.MinSamples = 1
	found, lacks, err := a.results(ctx, v.metrics, f, struck)
	switch {
	case err != nil:
		f.broken(err)
	case lacks != "":
		f.unclear(lacks)
	default:
		f.decide([]claim{a.alarmed(f, a.ruleFirings(v.metrics, f, found), struck)})
	}
}

// results evaluates the rule as often as metrics come. A monitoring system looks
// less often, and is as much later. No result says something only where there is
// what the rule looks at.
func (a *alert) results(ctx context.Context, q *querier, f *Finding, struck time.Duration) (found []metrics.Series, lacks string, err error) {
	if f.Expr, err = metrics.Scaled(a.rule.Expr, a.scale()); err != nil {
		return nil, "", err
	}
	unknown, err := q.unknownMetrics(ctx, f.Expr)
	if err != nil || len(unknown) > 0 {
		return nil, absent(unknown), err
	}
	ev, err := q.engine.Evidence(ctx, q.store, f.Expr, q.at(struck))
	if f.Samples = ev.Samples; err != nil || ev.Samples == 0 {
		return nil, absent(ev.Absent) + " when the fault came", err
	}
	found, err = q.engine.Range(ctx, q.store, f.Expr, q.at(f.Window.From), q.at(f.Window.To), alertStep)
	return found, "", err
}

// ruleFirings are the first firing of each series, by time. The finding's series
// is how many of them have a result.
func (a *alert) ruleFirings(q *querier, f *Finding, found []metrics.Series) (out []firing) {
	results := map[time.Duration]float64{}
	for _, s := range found {
		delete(s.Labels, "__name__") // an alert has its own
		var since, last time.Duration
		fired := false
		for i, p := range s.Points {
			t := f.Window.From + p.T.Sub(q.at(f.Window.From)).Round(alertStep) // Prometheus rounds to milliseconds
			results[t]++
			if i == 0 || t-last > alertStep {
				since = t
			}
			if last = t; !fired && t-since >= a.hold() {
				fired = true
				out = append(out, firing{t, true, a.Rule + name(metrics.Sample{Labels: s.Labels})})
			}
		}
	}
	for t := f.Window.From; t <= f.Window.To; t += alertStep {
		f.Series = append(f.Series, Point{t, results[t]})
	}
	slices.SortFunc(out, func(x, y firing) int { return cmp.Or(cmp.Compare(x.t, y.t), cmp.Compare(x.words, y.words)) })
	return out
}
