package verdict

import (
	"fmt"
	"math"

	"github.com/aclements/go-moremath/stats"

	"squall/runner/record"
)

// Several runs of a scenario are compared by the runs, not by what is in them:
// a run is one draw of whatever differs from run to run, so it gives one value
// of each measure, and what those values scatter by is what chance does. The
// interval of a difference is Student's, with the variances of both sides apart
// and as many degrees of freedom as the smaller side has (Mickey and Brown 1966):
// Welch's own number of them promises too much for few runs that scatter
// unlike. Of ratios it is taken over logarithms.

const (
	// leastRepeats on each side: of two values, how much they scatter is as good as unknown.
	leastRepeats = 3
	// chance is how often something may be called different that is not.
	chance = 0.05
)

// overRepeats compares every quantity that all runs have.
func (d *Difference) overRepeats(a, b []Sample) {
	for _, q := range common(a[0], b[0]) {
		d.Measures = append(d.Measures, q.repeated(a, b))
	}
	known := 0
	for _, m := range d.Measures {
		if m.Why == "" {
			known++
		}
	}
	for i := range d.Measures {
		if m := &d.Measures[i]; m.Why == "" {
			m.scatter(chance / float64(known))
			m.decide(d.Band)
		}
	}
}

// repeated gathers a value of each run. The interval of a share is at least as
// wide as its events ask for: three runs without an error are no proof of none.
func (q metric) repeated(a, b []Sample) Measure {
	first := a[0].values[q]
	m := q.measure(first.tally == nil)
	var before, after Tally
	m.FromRuns, before = q.ofRuns(a)
	m.ToRuns, after = q.ofRuns(b)
	if few := min(len(m.FromRuns), len(m.ToRuns)); few < leastRepeats {
		m.Why = fmt.Sprintf("too few repeats: %d and %d with enough data, %d each are needed", len(m.FromRuns), len(m.ToRuns), leastRepeats)
		return m
	}
	m.From, m.To = mean(m.FromRuns), mean(m.ToRuns)
	m.Change = m.To - m.From
	if first.tally != nil {
		m.Interval = differenceOfShares(before, after)
		return m
	}
	m.From, m.To = math.Exp(mean(logs(m.FromRuns))), math.Exp(mean(logs(m.ToRuns)))
	m.Change = m.To / m.From
	m.Interval = Interval{record.Float(m.Change), record.Float(m.Change)}
	return m
}

// ofRuns are the values of the runs that have enough data for one, and all
// events together.
func (q metric) ofRuns(runs []Sample) (each []float64, all Tally) {
	for _, r := range runs {
		switch v := r.values[q]; {
		case v.tally != nil && v.tally.Total > 0:
			each = append(each, v.tally.ratio())
			all.Good, all.Total = all.Good+v.tally.Good, all.Total+v.tally.Total
		case len(v.slices) >= minSlices:
			each = append(each, mean(v.slices))
		}
	}
	return each, all
}

// scatter stretches the interval to what the runs scatter by, so that it misses
// no more often than alpha.
func (m *Measure) scatter(alpha float64) {
	m.widen(-stats.InvCDF(stats.StdNormal)(alpha/2) / z)
	from, to := m.FromRuns, m.ToRuns
	if m.Relative {
		from, to = logs(from), logs(to)
	}
	freedom := min(len(from), len(to)) - 1
	deviation := math.Sqrt(variance(from)/float64(len(from)) + variance(to)/float64(len(to)))
	half := -stats.InvCDF(stats.TDist{V: float64(freedom)})(alpha/2) * deviation
	mid := mean(to) - mean(from)
	low, high := mid-half, mid+half
	if m.Relative {
		low, high = math.Exp(low), math.Exp(high)
	}
	m.Interval = Interval{min(m.Interval.Low, record.Float(low)), max(m.Interval.High, record.Float(high))}
}

func logs(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Log(x)
	}
	return out
}

// variance of what the values were drawn from.
func variance(v []float64) (sum float64) {
	mid := mean(v)
	for _, x := range v {
		sum += (x - mid) * (x - mid)
	}
	return sum / float64(len(v)-1)
}

// Kept is how often an assertion held over repeats. Runs in which it was
// neither met nor broken count for nothing.
type Kept struct {
	Held   [2]int  `json:"held"`             // of those, it held in so many
	Runs   [2]int  `json:"runs"`             // that decided it, on each side
	P      float64 `json:"p"`                // Fisher's exact test: how often chance alone gives as much of a difference
	Sure   bool    `json:"sure,omitempty"`   // with all assertions together, chance gives it less than once in twenty times
	Needed int     `json:"needed,omitempty"` // runs on each side that could be sure, where these are too few
}

// worse: it holds less often, and surely so; or it held in every run and is
// broken in every run, which is what a single pair of runs would be believed.
func (k Kept) worse() bool {
	less := k.Held[1]*k.Runs[0] < k.Held[0]*k.Runs[1]
	always, never := k.Runs[0] > 0 && k.Held[0] == k.Runs[0], k.Runs[1] > 0 && k.Held[1] == 0
	return less && (k.Sure || always && never)
}

// keptOverRepeats compares how often each assertion held.
func keptOverRepeats(a, b []Sample) []Change {
	ra, rb := results(a), results(b)
	all := changes(a[0].judge.Combine(ra), b[0].judge.Combine(rb))
	alpha := chance / float64(max(1, len(all)))
	for i := range all {
		c := &all[i]
		k := &Kept{}
		for side, runs := range [][]Result{ra, rb} {
			for _, r := range runs {
				f, found := r.finding(identity{c.Group, c.ID})
				switch {
				case found && f.Verdict == Pass:
					k.Held[side]++
					k.Runs[side]++
				case found && rank(f.Verdict) > rank(Inconclusive):
					k.Runs[side]++
				}
			}
		}
		k.P = fisher(k.Held[0], k.Runs[0], k.Held[1], k.Runs[1])
		k.Sure = k.P <= alpha
		if n := enoughToTell(alpha); !k.Sure && min(k.Runs[0], k.Runs[1]) < n {
			k.Needed = n
		}
		c.Kept = k
	}
	return all
}

func results(all []Sample) (out []Result) {
	for _, s := range all {
		out = append(out, s.result)
	}
	return out
}

// fisher is the two-sided p-value of Fisher's exact test: how likely, were both
// sides alike, outcomes are that are no likelier than the one that is.
func fisher(goodA, allA, goodB, allB int) float64 {
	d := stats.HypergeometicDist{N: allA + allB, K: goodA + goodB, Draws: allA}
	is, p := d.PMF(float64(goodA)), 0.0
	for k := range allA + 1 {
		if q := d.PMF(float64(k)); q <= is*(1+1e-9) {
			p += q
		}
	}
	return min(1, p)
}

// enoughToTell is how many runs it takes on each side so that always against
// never is more than chance.
func enoughToTell(alpha float64) int {
	n := 1
	for fisher(n, n, 0, n) > alpha {
		n++
	}
	return n
}
