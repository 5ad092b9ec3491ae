package verdict

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"squall/runner/metrics"
	"squall/runner/record"
)

// estimate is the value of one series, how sure it is, what that decides, and
// what would make it surer.
type estimate struct {
	metrics.Sample
	Interval
	verdict Verdict
	enough  string
	shares  bounds // what is asked of the share of events that was counted, where one was
}

func (p *promql) estimate(s metrics.Sample, in Interval) estimate {
	return estimate{Sample: s, Interval: in, verdict: p.bounds.decide(in)}
}

// conclude reports the worst series: the worst verdict, and of those the worst value.
func (p *promql) conclude(f *Finding, all []estimate) {
	slices.SortStableFunc(all, func(a, b estimate) int { return cmp.Compare(name(a.Sample), name(b.Sample)) })
	bad := all[0]
	broken := 0
	for _, e := range all {
		if rank(e.verdict) > rank(bad.verdict) || e.verdict == bad.verdict && p.bounds.worse(e.V, bad.V) {
			bad = e
		}
		if e.verdict == Fail {
			broken++
		}
	}
	f.Measured, f.Margin = p.bounds.format(bad.V), p.bounds.margin(bad.V)
	if bad.Low != bad.High {
		f.Interval = &bad.Interval
		f.Measured += " (" + p.bounds.between(bad.Interval) + ")"
	}
	of := ""
	if len(all) > 1 {
		f.Measured += " " + name(bad.Sample)
		of = fmt.Sprintf(" (%d of %d series)", broken, len(all))
	}
	switch f.Verdict = bad.verdict; f.Verdict {
	case Pass:
		f.Why = "measured " + f.Measured
	case Fail:
		f.Why = fmt.Sprintf("measured %s, not %s%s", f.Measured, p.bounds, of)
	default:
		f.unclear(fmt.Sprintf("measured %s: not sure to be %s%s", f.Measured, p.bounds, bad.enough))
	}
}

// estimates adds to each value the interval that its kind of number has, from
// the events behind it; several series are taken to have as many each.
func (p *promql) estimates(ctx context.Context, v *View, f *Finding, samples []metrics.Sample, events float64) ([]estimate, error) {
	of, err := metrics.EstimateOf(f.Expr)
	if err != nil {
		return nil, err
	}
	n := events / float64(len(samples))
	if !f.estimated() || n == 0 {
		of.Shape = metrics.Exact
	}
	all := make([]estimate, len(samples))
	for i, s := range samples {
		all[i] = p.estimate(s, exactly(s.V))
		if of.Shape == metrics.Share {
			all[i] = p.share(s, n)
		}
	}
	if of.Shape == metrics.Share && len(all) == 1 {
		f.Tally, all[0].shares = &Tally{Good: samples[0].V * n, Total: n}, p.bounds
	}
	if of.Shape != metrics.Quantile {
		return all, nil
	}
	if err := p.orderStatistics(ctx, v, *f.Window, all, of, n); err != nil || len(all) > 1 {
		return all, err
	}
	return all, p.rightSide(ctx, v, f, &all[0], of, n)
}

// share is a ratio of n events.
func (p *promql) share(s metrics.Sample, n float64) estimate {
	e := p.estimate(s, wilson(s.V, n))
	e.enough = p.bounds.wouldDecide(s.V)
	return e
}

// orderStatistics asks for the quantiles between which the wanted one lies.
func (p *promql) orderStatistics(ctx context.Context, v *View, w Window, all []estimate, of metrics.Estimate, n float64) error {
	in := ranks(of.Quantile, n)
	ask := func(q float64) (map[string]float64, error) {
		if q <= 0 || q >= 1 {
			return nil, nil
		}
		res, err := v.metrics.engine.Instant(ctx, v.metrics.store, of.At(q), v.metrics.at(w.To))
		values := map[string]float64{}
		for _, s := range res.Samples {
			values[name(s)] = s.V
		}
		return values, err
	}
	low, err := ask(float64(in.Low))
	if err != nil {
		return err
	}
	high, err := ask(float64(in.High))
	if err != nil {
		return err
	}
	for i, e := range all {
		between := Interval{record.Float(math.Inf(-1)), record.Float(math.Inf(1))}
		if v, ok := low[name(e.Sample)]; ok {
			between.Low = record.Float(v)
		}
		if v, ok := high[name(e.Sample)]; ok {
			between.High = record.Float(v)
		}
		all[i] = p.estimate(e.Sample, between)
		if math.IsInf(float64(between.High), 1) {
			all[i].enough = fmt.Sprintf(", a %s needs %s at least", trimmed(of.Quantile, 4)+"-quantile", plural(enoughForQuantile(of.Quantile), "event"))
		}
	}
	return nil
}

// rightSide counts the events on the right side of the one bound of a quantile.
// "The 95th percentile is below 1 s" says that at least 95 % of events are, and
// Wilson's interval of their share is the score test turned around: it decides
// as the order statistics do, adds up over runs, and tells how many events would do.
func (p *promql) rightSide(ctx context.Context, v *View, f *Finding, e *estimate, of metrics.Estimate, n float64) error {
	if of.UpTo == nil || len(p.bounds) != 1 {
		return nil
	}
	share, found, err := v.metrics.number(ctx, of.UpTo(p.bounds[0].limit), f.Window.To)
	if err != nil || !found || math.IsNaN(share) {
		return err
	}
	if p.bounds[0].lower {
		share = 1 - share
	}
	f.Tally, e.shares = &Tally{Good: share * n, Total: n}, p.bounds.onRightSide(of.Quantile)
	if e.verdict = e.shares.decide(wilson(share, n)); e.verdict == Inconclusive {
		e.enough = e.shares.wouldDecide(share)
	}
	return nil
}

// onRightSide is the share of events that a bound of a quantile wants on its right side.
func (bs bounds) onRightSide(q float64) bounds {
	if bs[0].lower {
		q = 1 - q
	}
	return atLeastRatio(q)
}

// pool decides a share, or a quantile by the events on the right side of its bound.
func (p *promql) pool(f *Finding, runs []Finding) bool {
	n, ok := tallied(runs)
	of, err := metrics.EstimateOf(f.Expr)
	if !ok || err != nil {
		return false
	}
	f.Tally, f.Samples = &n, int(math.Round(n.Total))
	if of.Shape != metrics.Quantile {
		p.conclude(f, []estimate{p.share(metrics.Sample{V: n.ratio()}, n.Total)})
		return true
	}
	want, in := p.bounds.onRightSide(of.Quantile), wilson(n.ratio(), n.Total)
	f.Interval, f.Margin = &in, want.margin(n.ratio())
	f.Measured = fmt.Sprintf("%s of events %s (%s)", percent(n.ratio()), p.bounds, want.between(in))
	counted := fmt.Sprintf("%s of %s were %s", trimmed(n.Good, 0), plural(f.Samples, "event"), p.bounds)
	switch f.Verdict = want.decide(in); f.Verdict {
	case Pass:
		f.Why = fmt.Sprintf("%s, %s are needed", counted, percent(want[0].limit))
	case Fail:
		f.Why = fmt.Sprintf("only %s, %s are needed", counted, percent(want[0].limit))
	default:
		f.unclear(fmt.Sprintf("%s: not sure to be %s%s", counted, want, want.wouldDecide(n.ratio())))
	}
	return true
}
