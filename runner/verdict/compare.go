package verdict

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"squall/runner/metrics"
	"squall/runner/record"
	"squall/scenarios/spec"
)

// minSlices is the least number of values of each window: with fewer, how much
// they vary by themselves cannot be told.
const minSlices = 8

func init() {
	builtin(Kind{
		Name:    "compare",
		Summary: "A PromQL expression over a phase, as a multiple of what it was in the baseline.",
		Doc: `The expression is evaluated over short slices of both windows; measured is the ratio of the two means, and a bound
such as atMost: 1.5 is the effect that still is none. What decides is the 95 % interval of the ratio, by a block
bootstrap that knows that neighbours in time resemble each other: all of it must lie on one side of the bound.
Too little evidence: fewer than 8 slices with a positive value in either window.`,
		Params:     compare{},
		Bounds:     BoundsRequired,
		MinSamples: minSlices,
		New:        newCompare,
	})
}

type compare struct {
	Expr  string        `yaml:"expr" spec:"required" doc:"Expression with $window; compare: EXPR is the short form."`
	With  string        `yaml:"with" spec:"default=baseline,enum=baseline|warmup" doc:"Phase it is compared with."`
	Slice spec.Duration `yaml:"slice" spec:"default=500ms,min=250ms" doc:"Length of a slice."`

	bounds bounds
}

// FromScalar reads the short form: only the expression.
func (c *compare) FromScalar(text string) error {
	c.Expr, c.With, c.Slice = text, "baseline", spec.Duration(500*time.Millisecond)
	return nil
}

func newCompare(d *Declared) Checker {
	c := &compare{bounds: boundsOf(d.Check)}
	d.decode(c)
	d.parse("expr", c.Expr)
	return c
}

func (c *compare) Judge(ctx context.Context, v *View, f *Finding) {
	f.Expected = c.bounds.String() + " times " + c.With
	base, _, found := v.phase(c.With)
	if !found {
		f.unclear("phase " + c.With + " never ran")
		return
	}
	before, err := c.slices(ctx, v, base, f)
	if err != nil {
		f.broken(err)
		return
	}
	after, err := c.slices(ctx, v, *f.Window, f)
	if err != nil {
		f.broken(err)
		return
	}
	f.Samples = min(len(before), len(after))
	f.Series = after
	if least := max(minSlices, f.MinSamples); f.Samples < least {
		f.unclear(fmt.Sprintf("%s of %s in %s and %s in %s had a positive value, %d are needed in each",
			plural(len(before), "slice"), short(time.Duration(c.Slice)), c.With, plural(len(after), "slice"), f.During, least))
		return
	}
	c.conclude(f, values(before), values(after), v.Run.Header.Seed)
}

func (c *compare) conclude(f *Finding, before, after []float64, seed uint64) {
	ratio, in := ratioOfMeans(before, after, seed)
	c.decide(f, ratio, in, fmt.Sprintf("%s was %s on average in %s and %s in %s", c.Expr, trimmed(mean(before), 4), c.With, trimmed(mean(after), 4), f.During))
}

func (c *compare) decide(f *Finding, ratio float64, in Interval, means string) {
	f.Interval = &in
	f.Measured = fmt.Sprintf("%s times (%s)", trimmed(ratio, 2), in.times())
	f.Margin = c.bounds.margin(ratio)
	if !f.estimated() {
		in = exactly(ratio)
	}
	switch f.Verdict = c.bounds.decide(in); f.Verdict {
	case Pass:
		f.Why = means
	case Fail:
		f.Why = fmt.Sprintf("%s times %s, not %s: %s", trimmed(ratio, 2), c.With, c.bounds, means)
	default:
		f.unclear(fmt.Sprintf("%s: not sure to be %s, longer phases or more runs would decide", means, f.Expected))
	}
}

// pool decides by the mean of the runs' ratios. Runs are independent and as long
// as one another, so they count alike, and what is not known of each adds up in squares.
func (c *compare) pool(f *Finding, runs []Finding) bool {
	var mid, square float64 // of logarithms
	for _, r := range runs {
		if r.Interval == nil {
			return false
		}
		low, high := math.Log(float64(r.Interval.Low)), math.Log(float64(r.Interval.High))
		mid, square = mid+(low+high)/2, square+(high-low)*(high-low)/4
		f.Samples += r.Samples
	}
	n := float64(len(runs))
	mid, half := mid/n, math.Sqrt(square)/n
	c.decide(f, math.Exp(mid), Interval{record.Float(math.Exp(mid - half)), record.Float(math.Exp(mid + half))},
		fmt.Sprintf("%s was %s times as large in %s as in %s", c.Expr, trimmed(math.Exp(mid), 2), f.During, c.With))
	return true
}

func (i Interval) times() string {
	return fmt.Sprintf("95%%: %s to %s", trimmed(float64(i.Low), 2), trimmed(float64(i.High), 2))
}

// slices evaluates the expression over every slice of a window.
func (c *compare) slices(ctx context.Context, v *View, w Window, f *Finding) ([]Point, error) {
	ps, expr, err := slicesOf(ctx, v, c.Expr, w, time.Duration(c.Slice))
	f.Expr = expr
	return ps, err
}

// slicesOf evaluates an expression over every slice of a window. A ratio needs
// positive values, so slices without one are left out. Of a native histogram
// PromQL sees only what lies between the scrapes within a range, so that ranges
// as long as the slices would miss what falls between two of them.
func slicesOf(ctx context.Context, v *View, text string, w Window, length time.Duration) (ps []Point, expr string, err error) {
	expr, err = metrics.Slice(text, length)
	if err != nil {
		return nil, "", err
	}
	ev, err := v.metrics.engine.Evidence(ctx, v.metrics.store, expr, v.metrics.at(w.To))
	if err != nil {
		return nil, expr, err
	}
	if ev.Histograms {
		if expr, err = metrics.Slice(text, length+scrapeDistance(v.Run)); err != nil {
			return nil, expr, err
		}
	}
	all, err := v.metrics.series(ctx, expr, Window{w.From + length, w.To}, length)
	if err != nil || len(all) == 0 {
		return nil, expr, err
	}
	if len(all) > 1 {
		return nil, expr, fmt.Errorf("%s gives %d series, want one: sum them", expr, len(all))
	}
	for _, p := range all[0] {
		if p.V > 0 && !math.IsInf(p.V, 0) {
			ps = append(ps, p)
		}
	}
	return ps, expr, nil
}

// scrapeDistance is the usual distance of two looks at one source.
func scrapeDistance(run *record.Run) time.Duration {
	last, apart := map[string]int64{}, []int64{}
	for _, s := range run.Scrapes {
		if before, known := last[s.Source]; known {
			apart = append(apart, s.At-before)
		}
		last[s.Source] = s.At
	}
	if len(apart) == 0 {
		return 0
	}
	slices.Sort(apart)
	return time.Duration(apart[len(apart)/2]).Round(time.Millisecond)
}

func values(ps []Point) []float64 {
	vs := make([]float64, len(ps))
	for i, p := range ps {
		vs[i] = p.V
	}
	return vs
}
