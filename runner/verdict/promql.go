package verdict

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/metrics"
)

// How the value over time is taken, for charts and the worst instant.
const (
	seriesSpan = 2 * time.Second
	seriesStep = 500 * time.Millisecond
)

// minObservations is the least number of events behind a native histogram.
const minObservations = 50

func init() {
	builtin(Kind{
		Name:    "promql",
		Summary: "A PromQL expression over a phase, against a bound.",
		Doc: `Ordinary PromQL, evaluated at the end of the window; $window is the window's length. Metrics of the services and
of the load generator are in one store on one clock. If the expression gives several series, every one must meet
the bound and the worst is reported. A quantile (histogram_quantile) and a share of events (a ratio of counts of one
metric, histogram_fraction) are estimates: what decides is their 95 % interval (order statistics, Wilson), which must lie on one
side of the bound as a whole; in between the verdict is inconclusive, and says how many events would decide. Of anything else, and of steady state and
guardrails, the value decides. Too little evidence: no value, NaN, fewer than 10 raw samples, or fewer than 50
observations behind a native histogram.`,
		Params:     promql{},
		Bounds:     BoundsRequired,
		MinSamples: 10,
		New:        newPromQL,
	})
}

type promql struct {
	Expr string `yaml:"expr" spec:"required" doc:"Expression; promql: EXPR is the short form."`

	bounds bounds
}

// FromScalar reads the short form: only the expression.
func (p *promql) FromScalar(text string) error {
	p.Expr = text
	return nil
}

func newPromQL(d *Declared) Checker {
	p := &promql{bounds: boundsOf(d.Check)}
	d.decode(p)
	d.parse("expr", p.Expr)
	return p
}

// parse checks an expression.
func (d *Declared) parse(field, expr string) {
	if err := metrics.Parse(expr); err != nil {
		d.fail(field, err.Error(), "")
	}
}

func (p *promql) Judge(ctx context.Context, v *View, f *Finding) {
	f.Expected = p.bounds.String()
	w := *f.Window
	expr, err := metrics.Expand(p.Expr, w.length().Round(time.Millisecond))
	if err != nil {
		f.broken(err)
		return
	}
	f.Expr = expr
	q := v.metrics
	res, err := q.engine.Instant(ctx, q.store, expr, q.at(w.To))
	if err != nil {
		f.broken(err)
		return
	}
	f.Expr = res.Expr
	ev, err := q.engine.Evidence(ctx, q.store, expr, q.at(w.To))
	if err != nil {
		f.broken(err)
		return
	}
	f.Details = bounded(res.Warnings)
	if err := p.overTime(ctx, v, f); err != nil {
		f.broken(err)
		return
	}
	if !p.enough(f, res.Samples, ev) {
		return
	}
	all, err := p.estimates(ctx, v, f, res.Samples, ev.Observations)
	if err != nil {
		f.broken(err)
		return
	}
	p.conclude(f, all)
	f.Pending = f.Pending && !v.lost(f, all[0].shares)
}

// enough wants data to stand on.
func (p *promql) enough(f *Finding, samples []metrics.Sample, ev metrics.Evidence) bool {
	f.Samples = ev.Samples
	least, noun := f.MinSamples, "sample"
	if ev.Histograms {
		f.Samples, noun = int(math.Round(ev.Observations)), "observation"
		least = max(least, minObservations)
		f.MinSamples = least
	}
	nan := slices.ContainsFunc(samples, func(s metrics.Sample) bool { return math.IsNaN(s.V) })
	switch {
	case len(samples) == 0 || (nan && len(ev.Absent) > 0):
		f.unclear(absent(ev.Absent))
	case nan:
		f.unclear("the expression is not a number (NaN): nothing happened in the window, or a division by zero")
	case f.Samples < least:
		f.unclear(fmt.Sprintf("%s, %d are needed", plural(f.Samples, noun), least))
	default:
		return true
	}
	return false
}

// overTime evaluates the expression with a short window all along.
func (p *promql) overTime(ctx context.Context, v *View, f *Finding) error {
	if f.Group == "guardrail" || f.Window.length() < seriesSpan {
		return nil
	}
	expr, err := metrics.Expand(p.Expr, seriesSpan)
	if err != nil {
		return err
	}
	all, err := v.metrics.series(ctx, expr, Window{f.Window.From + seriesSpan, f.Window.To}, seriesStep)
	if err != nil {
		return err
	}
	f.Series = p.envelope(all)
	f.Worst = worst(p.bounds, f.Series)
	return nil
}

// envelope is the worst of several series at each instant.
func (p *promql) envelope(all [][]Point) []Point {
	at := map[time.Duration]float64{}
	for _, s := range all {
		for _, pt := range s {
			if v, ok := at[pt.T]; !math.IsNaN(pt.V) && !math.IsInf(pt.V, 0) && (!ok || p.bounds.worse(pt.V, v)) {
				at[pt.T] = pt.V
			}
		}
	}
	out := make([]Point, 0, len(at))
	for _, t := range slices.Sorted(maps.Keys(at)) {
		out = append(out, Point{t, at[t]})
	}
	return out
}

// name prints the labels of a sample.
func name(s metrics.Sample) string {
	parts := make([]string, 0, len(s.Labels))
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		if k != "__name__" {
			parts = append(parts, fmt.Sprintf("%s=%q", k, s.Labels[k]))
		}
	}
	return metrics.Name(s.Labels) + "{" + strings.Join(parts, ", ") + "}"
}
