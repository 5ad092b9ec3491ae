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
	Runs       [2]int    `json:"runs"` // on each side
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
	Kept  *Kept   `json:"kept,omitempty"` // over repeats
}

// Worse reports whether the assertion held and is broken now. One that is not
// known to hold is not worse.
func (c Change) Worse() bool {
	if c.Kept != nil {
		return c.Kept.worse()
	}
	return c.Was == Pass && rank(c.Is) > rank(Inconclusive)
}

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
	Unit     string   `json:"unit,omitempty"`     // seconds, share, per second; empty: nobody says
	From     float64  `json:"from"`               // mean over slices; of a share, of all events
	To       float64  `json:"to"`                 //
	Change   float64  `json:"change"`             // ratio of the two; of shares, their difference
	Interval Interval `json:"interval"`           // 95 %, for all measures together
	Effect   Effect   `json:"effect"`             //
	Why      string   `json:"why,omitempty"`      // there is nothing to compare
	Relative bool     `json:"relative,omitempty"` // Change is a ratio

	FromRuns []float64 `json:"fromRuns,omitempty"` // over repeats: the value of each run
	ToRuns   []float64 `json:"toRuns,omitempty"`

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

// Sample is what is compared of a finished run: it holds no record.
type Sample struct {
	result Result
	judge  *Judge // by the scenario that it ran
	seed   uint64
	values map[metric]sampled
	order  []metric
}

// metric is one thing that is measured in one phase. Runs are compared by
// those that are the same in all of them.
type metric struct {
	phase, name, unit, expr string
	less, more              Effect // what it means if there is less or more of it
}

// sampled is a metric as one run has it: its value in each slice, or, of a
// share, its events.
type sampled struct {
	slices []float64
	tally  *Tally
}

// Sample takes from the run, phase by phase, what the client saw of each
// operation, and the expressions that its scenario asserts something of.
func (s Saved) Sample(ctx context.Context) (Sample, error) {
	out := Sample{result: s.Result, judge: s.Judge, seed: s.Run.Header.Seed, values: map[metric]sampled{}}
	v := s.Judge.view(s.Run)
	for _, phase := range []string{"baseline", "fault", "recovery"} {
		w, _, found := v.phase(phase)
		if !found {
			continue
		}
		out.operations(phase, seen(v, w))
		for _, q := range s.Judge.expressions() {
			ps, _, err := slicesOf(ctx, v, q.expr, w, diffSlice)
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
			if err != nil {
				continue // several series: which of them is meant is not said
			}
			q.phase = phase
			out.add(q, sampled{slices: values(ps)})
		}
	}
	return out, nil
}

func (s *Sample) add(q metric, v sampled) {
	s.values[q] = v
	s.order = append(s.order, q)
}

// operations adds what the client saw in a phase.
func (s *Sample) operations(phase string, seen map[string][]slice) {
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		all := seen[name]
		events := tallyOf(all)
		s.add(metric{phase: phase, name: name + " ok", unit: "share", less: Worse, more: Better}, sampled{tally: &events})
		s.add(metric{phase: phase, name: name + " ok throughput", unit: "per second", less: Worse, more: Better}, sampled{slices: each(all, slice.rate)})
		s.add(metric{phase: phase, name: name + " median", unit: "seconds", less: Better, more: Worse}, sampled{slices: each(all, quantileOf(0.5))})
		s.add(metric{phase: phase, name: name + " 95th percentile", unit: "seconds", less: Better, more: Worse}, sampled{slices: each(all, quantileOf(0.95))})
	}
}

// Compare tells what the runs b did differently from the runs a, which are of
// one scenario each. Less than the band is no change. With many measures some
// interval would miss by chance, so all are widened until they hold together
// with 95 % (Bonferroni).
//
// One run is compared with one by its slices, with a block bootstrap, and shares
// of events by the interval of Newcombe (1998, method 10). What differs from run
// to run on the machine itself is then part of the difference: two runs cannot
// tell it apart. Several can, see repeats.go.
func Compare(a, b []Sample, band float64) Difference {
	d := Difference{Band: band, Runs: [2]int{len(a), len(b)}}
	if len(a) == 1 && len(b) == 1 {
		d.Assertions = changes(a[0].result, b[0].result)
		for _, q := range common(a[0], b[0]) {
			d.Measures = append(d.Measures, q.once(a[0].values[q], b[0].values[q], b[0].seed))
		}
		d.decide()
		return d
	}
	d.Assertions = keptOverRepeats(a, b)
	d.overRepeats(a, b)
	return d
}

// common are the quantities that both have.
func common(a, b Sample) (out []metric) {
	for _, q := range a.order {
		if _, both := b.values[q]; both {
			out = append(out, q)
		}
	}
	return out
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

// expressions are what assertions look at, with what a lower and a higher value
// means by the bounds that they have.
func (j *Judge) expressions() (out []metric) {
	for _, c := range j.checks {
		e := metric{name: c.ID, less: Differs, more: Differs}
		switch checker := c.checker.(type) {
		case *promql:
			e.expr = checker.Expr
			if len(checker.bounds) > 0 { // written in the unit of the value
				e.unit = checker.bounds[0].unit.name()
			}
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

func (q metric) measure(relative bool) Measure {
	m := Measure{Phase: q.phase, Name: q.name, Unit: q.unit, Relative: relative, Effect: Unclear, Interval: Interval{-1, 1}, less: q.less, more: q.more}
	if relative {
		m.Interval = Interval{0, record.Float(math.Inf(1))}
	}
	return m
}

// once compares one run with one.
func (q metric) once(from, to sampled, seed uint64) Measure {
	m := q.measure(from.tally == nil)
	switch n := min(len(from.slices), len(to.slices)); {
	case from.tally != nil && (from.tally.Total == 0 || to.tally.Total == 0):
		m.Why = "no events"
	case from.tally != nil:
		m.From, m.To = from.tally.ratio(), to.tally.ratio()
		m.Change, m.Interval = m.To-m.From, differenceOfShares(*from.tally, *to.tally)
	case n < minSlices:
		m.Why = fmt.Sprintf("%s, %d are needed", plural(n, "slice"), minSlices)
	default:
		m.From, m.To = mean(from.slices), mean(to.slices)
		m.Change, m.Interval = ratioOfMeans(from.slices, to.slices, seed)
	}
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
