package verdict

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"squall/runner/record"
)

// Saved is a finished run that is compared with another.
type Saved struct {
	Run    *record.Run
	Judge  *Judge // by the scenario that it ran
	Result Result
}

// Difference is what a second run did differently from a first one.
type Difference struct {
	Band       float64   `json:"band"` // relative change that still is none
	Assertions []Change  `json:"assertions"`
	Measures   []Measure `json:"measures"`
}

// Change is one assertion in both runs.
type Change struct {
	Group string  `json:"group"`
	ID    string  `json:"id"`
	Was   Verdict `json:"was,omitempty"` // empty where the first run has none of that name
	Is    Verdict `json:"is,omitempty"`
	From  string  `json:"from,omitempty"` // as measured
	To    string  `json:"to,omitempty"`
}

// Worse reports whether the assertion held and is broken now. One that is not
// known to hold is not worse.
func (c Change) Worse() bool { return c.Was == Pass && rank(c.Is) > rank(Inconclusive) }

// Effect is what a measure shows.
type Effect string

// The effects. Only a change whose whole interval lies beyond the band is one.
const (
	Same    Effect = "same"
	Better  Effect = "better"
	Worse   Effect = "worse"
	Differs Effect = "differs" // neither direction is known to be the better one
	Unclear Effect = "unclear"
)

// Measure is one quantity in one phase of both runs.
type Measure struct {
	Phase    string   `json:"phase"`
	Name     string   `json:"name"`
	Unit     string   `json:"unit,omitempty"`     // seconds, share, per second; empty: its expression's
	From     float64  `json:"from"`               // mean over slices; of a share, of all events
	To       float64  `json:"to"`                 //
	Change   float64  `json:"change"`             // ratio of the two; of shares, their difference
	Interval Interval `json:"interval"`           // 95 %, for all measures together
	Effect   Effect   `json:"effect"`             //
	Why      string   `json:"why,omitempty"`      // there is nothing to compare
	Relative bool     `json:"relative,omitempty"` // Change is a ratio

	less, more Effect // what it means if the second is lower or higher
}

// Worse reports whether anything that held is broken, or anything measured is worse.
func (d Difference) Worse() bool {
	return slices.ContainsFunc(d.Assertions, Change.Worse) ||
		slices.ContainsFunc(d.Measures, func(m Measure) bool { return m.Effect == Worse })
}

// shareBand is the change of a share of events that still is none: one point.
const shareBand = 0.01

// diffSlice is the length of the slices whose values are compared.
const diffSlice = 500 * time.Millisecond

// Compare tells what run b did differently from run a, phase by phase: what the
// client saw of each operation, and the expressions that both assert something
// of. Slices of both are compared by a block bootstrap, shares of events by the
// interval of Newcombe (1998, method 10). Less than the band is no change. With
// many measures some interval would miss by chance, so all are widened until they
// hold together with 95 % (Bonferroni). What differs from run to run on the
// machine itself is part of the difference: two runs cannot tell it apart.
func Compare(ctx context.Context, a, b Saved, band float64) (Difference, error) {
	d := Difference{Band: band, Assertions: changes(a.Result, b.Result)}
	va, vb := a.Judge.view(a.Run), b.Judge.view(b.Run)
	for _, phase := range []string{"baseline", "fault", "recovery"} {
		wa, _, inA := va.phase(phase)
		wb, _, inB := vb.phase(phase)
		if !inA || !inB {
			continue
		}
		p := pair{phase: phase, a: va, b: vb, wa: wa, wb: wb, seed: b.Run.Header.Seed}
		d.Measures = append(d.Measures, p.operations()...)
		more, err := p.expressions(ctx, a.Judge, b.Judge)
		if err != nil {
			return d, err
		}
		d.Measures = append(d.Measures, more...)
	}
	d.decide()
	return d, nil
}

// decide takes the effects from intervals that hold together.
func (d *Difference) decide() {
	known := 0
	for _, m := range d.Measures {
		if m.Why == "" {
			known++
		}
	}
	for i := range d.Measures {
		if m := &d.Measures[i]; m.Why == "" {
			m.widen(math.Sqrt2 * math.Erfinv(1-0.05/float64(known)) / z)
			m.decide(d.Band)
		}
	}
}

// widen stretches the interval around the value, of a ratio by its logarithm.
func (m *Measure) widen(by float64) {
	low, high := float64(m.Interval.Low), float64(m.Interval.High)
	if m.Relative {
		m.Interval = Interval{record.Float(m.Change * math.Pow(low/m.Change, by)), record.Float(m.Change * math.Pow(high/m.Change, by))}
		return
	}
	m.Interval = Interval{record.Float(m.Change + by*(low-m.Change)), record.Float(m.Change + by*(high-m.Change))}
}

func changes(a, b Result) (out []Change) {
	for _, id := range identities([]Result{a, b}) {
		if id.group == "evidence" {
			continue
		}
		c := Change{Group: id.group, ID: id.id}
		if f, ok := a.finding(id); ok {
			c.Was, c.From = f.Verdict, f.Measured
		}
		if f, ok := b.finding(id); ok {
			c.Is, c.To = f.Verdict, f.Measured
		}
		out = append(out, c)
	}
	return out
}

func (r Result) finding(id identity) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return (identity{f.Group, f.ID}) == id })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

// pair is one phase of both runs.
type pair struct {
	phase  string
	a, b   *View
	wa, wb Window
	seed   uint64
}

// slice is what the client saw of one operation in one slice.
type slice struct {
	took    []float64 // of those that were ok, seconds
	ok, all float64
}

// seen groups the operations that began in a window by name and slice. What
// begins in a last part of a slice is left out.
func seen(v *View, w Window) map[string][]slice {
	n := int(w.length() / diffSlice)
	out := map[string][]slice{}
	for _, o := range v.Run.Operations {
		t := v.Run.T(o.At) - w.From
		i := int(t / diffSlice)
		if t < 0 || i >= n {
			continue
		}
		if out[o.Name] == nil {
			out[o.Name] = make([]slice, n)
		}
		s := &out[o.Name][i]
		s.all++
		if o.Outcome == record.OK {
			s.ok++
			s.took = append(s.took, time.Duration(o.Dur).Seconds())
		}
	}
	return out
}

// operations compares what the client saw.
func (p pair) operations() (out []Measure) {
	a, b := seen(p.a, p.wa), seen(p.b, p.wb)
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if b[name] == nil {
			continue
		}
		out = append(out,
			p.share(name+" ok", tallyOf(a[name]), tallyOf(b[name])),
			p.ratio(name+" ok throughput", "per second", each(a[name], slice.rate), each(b[name], slice.rate), Worse, Better),
			p.ratio(name+" median", "seconds", each(a[name], quantileOf(0.5)), each(b[name], quantileOf(0.5)), Better, Worse),
			p.ratio(name+" 95th percentile", "seconds", each(a[name], quantileOf(0.95)), each(b[name], quantileOf(0.95)), Better, Worse),
		)
	}
	return out
}

func (s slice) rate() float64 { return s.ok / diffSlice.Seconds() }

// quantileOf a slice that has an event in the tail at least.
func quantileOf(q float64) func(slice) float64 {
	return func(s slice) float64 {
		if float64(len(s.took)) < 1/(1-q) {
			return 0
		}
		slices.Sort(s.took)
		return s.took[int(math.Ceil(q*float64(len(s.took))))-1]
	}
}

// each is a value of every slice that has one.
func each(all []slice, of func(slice) float64) (out []float64) {
	for _, s := range all {
		if v := of(s); v > 0 {
			out = append(out, v)
		}
	}
	return out
}

func tallyOf(all []slice) (t Tally) {
	for _, s := range all {
		t.Good, t.Total = t.Good+s.ok, t.Total+s.all
	}
	return t
}

// expressions compares what both runs assert something of.
func (p pair) expressions(ctx context.Context, a, b *Judge) (out []Measure, err error) {
	of := b.expressions()
	for _, e := range a.expressions() {
		if !slices.Contains(of, e) {
			continue
		}
		from, _, err := slicesOf(ctx, p.a, e.expr, p.wa, diffSlice)
		if err != nil {
			continue // several series: which of them is meant is not said
		}
		to, _, err := slicesOf(ctx, p.b, e.expr, p.wb, diffSlice)
		if err != nil {
			continue
		}
		out = append(out, p.ratio(e.id, "", values(from), values(to), e.less, e.more))
	}
	return out, ctx.Err()
}

// assertedExpr is an expression with what a lower and a higher value means, by the
// bounds that it has.
type assertedExpr struct {
	id, expr   string
	less, more Effect
}

func (j *Judge) expressions() (out []assertedExpr) {
	for _, c := range j.checks {
		e := assertedExpr{id: c.ID, less: Differs, more: Differs}
		switch checker := c.checker.(type) {
		case *promql:
			e.expr = checker.Expr
		case *compare:
			e.expr = checker.Expr
		default:
			continue
		}
		if bs := boundsOf(c.Check); len(bs) == 1 && c.Group != "guardrail" {
			e.less, e.more = Better, Worse
			if bs[0].lower {
				e.less, e.more = Worse, Better
			}
		}
		out = append(out, e)
	}
	return out
}

// ratio compares the means of two series of slices. less and more say what it
// means if the second is lower or higher.
func (p pair) ratio(name, unit string, from, to []float64, less, more Effect) Measure {
	m := Measure{Phase: p.phase, Name: name, Unit: unit, Relative: true, Effect: Unclear, Interval: Interval{0, record.Float(math.Inf(1))}, less: less, more: more}
	if n := min(len(from), len(to)); n < minSlices {
		m.Why = fmt.Sprintf("%s, %d are needed", plural(n, "slice"), minSlices)
		return m
	}
	m.From, m.To = mean(from), mean(to)
	m.Change, m.Interval = ratioOfMeans(from, to, p.seed)
	return m
}

// share compares shares of good events.
func (p pair) share(name string, from, to Tally) Measure {
	m := Measure{Phase: p.phase, Name: name, Unit: "share", Effect: Unclear, Interval: Interval{-1, 1}, less: Worse, more: Better}
	if from.Total == 0 || to.Total == 0 {
		m.Why = "no events"
		return m
	}
	m.From, m.To = from.ratio(), to.ratio()
	m.Change, m.Interval = m.To-m.From, differenceOfShares(from, to)
	return m
}

// decide takes the effect from where the interval lies: beyond the band on one
// side, within it, or across its edge.
func (m *Measure) decide(band float64) {
	low, high := 1/(1+band), 1+band
	if !m.Relative {
		low, high = -shareBand, shareBand
	}
	switch from, to := float64(m.Interval.Low), float64(m.Interval.High); {
	case to < low:
		m.Effect = m.less
	case from > high:
		m.Effect = m.more
	case from >= low && to <= high:
		m.Effect = Same
	}
}

// differenceOfShares is how much larger the second share is (Newcombe 1998,
// method 10: from the Wilson intervals of both).
func differenceOfShares(a, b Tally) Interval {
	ia, ib := wilson(a.ratio(), a.Total), wilson(b.ratio(), b.Total)
	d := b.ratio() - a.ratio()
	down := math.Hypot(b.ratio()-float64(ib.Low), float64(ia.High)-a.ratio())
	up := math.Hypot(float64(ib.High)-b.ratio(), a.ratio()-float64(ia.Low))
	return Interval{record.Float(d - down), record.Float(d + up)}
}
