package verdict

import (
	"fmt"
	"math"

	"squall/runner/record"
)

// z is the 97.5 % quantile of the normal distribution: intervals are 95 %, two-sided.
const z = 1.959964

// Interval is where a measured value lies with 95 % confidence, given how few
// events it was measured on. Either end may be infinite.
type Interval struct {
	Low  record.Float `json:"low"`
	High record.Float `json:"high"`
}

func exactly(v float64) Interval { return Interval{record.Float(v), record.Float(v)} }

// estimated reports whether the interval of a value decides over it. Steady
// state and guardrails are gates that must answer on little data: there the
// value does, and the interval is only printed.
func (f *Finding) estimated() bool { return f.Group == "expect" }

// wilson is the interval of a ratio of n events (Wilson score; Wilson 1927):
// honest near 0 and 1 and for few events, where the usual one is not.
func wilson(ratio, n float64) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	mid := (ratio + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(math.Max(0, ratio*(1-ratio))/n+z*z/(4*n*n))
	return Interval{record.Float(math.Max(0, mid-half)), record.Float(math.Min(1, mid+half))}
}

// ranks are the quantiles of n events between which their q-quantile lies: the
// order statistics of a binomial count, by its normal approximation (Conover,
// Practical Nonparametric Statistics, 3.2). One outside 0..1 has no event.
func ranks(q, n float64) Interval {
	half := z * math.Sqrt(q*(1-q)/n)
	return Interval{record.Float(q - half), record.Float(q + half)}
}

// enoughForQuantile is the least number of events that has one on either side
// of the q-quantile's interval.
func enoughForQuantile(q float64) int {
	tail := math.Min(q, 1-q)
	if tail <= 0 {
		return math.MaxInt
	}
	return int(math.Ceil(z * z * q * (1 - q) / (tail * tail)))
}

// decide passes what lies on the right side of the bounds as a whole and fails
// what lies on the wrong side as a whole; in between nothing is known.
func (bs bounds) decide(i Interval) Verdict {
	low, high := float64(i.Low), float64(i.High)
	if bs.met(low) && bs.met(high) {
		return Pass
	}
	for _, b := range bs {
		if !b.met(low) && !b.met(high) {
			return Fail
		}
	}
	return Inconclusive
}

// enoughForRatio is how many events with this share of good ones would decide.
// It is false where none would, because the ratio is on a bound.
func (bs bounds) enoughForRatio(ratio float64) (int, bool) {
	const most = 1 << 40
	for n := 1.0; n < most; n *= 2 {
		if bs.decide(wilson(ratio, n)) == Inconclusive {
			continue
		}
		low, high := n/2, n // the interval only shrinks with n
		for high-low > 1 {
			if mid := math.Floor((low + high) / 2); bs.decide(wilson(ratio, mid)) == Inconclusive {
				low = mid
			} else {
				high = mid
			}
		}
		return int(high), true
	}
	return 0, false
}

// wouldDecide says how many events it takes, for the end of a sentence.
func (bs bounds) wouldDecide(ratio float64) string {
	if n, ok := bs.enoughForRatio(ratio); ok {
		return fmt.Sprintf(", %s would decide", plural(n, "event"))
	}
	return ", it is on the bound"
}

// between prints an interval the way the bounds are written.
func (bs bounds) between(i Interval) string {
	low, high := bs.format(float64(i.Low)), bs.format(float64(i.High))
	switch {
	case math.IsInf(float64(i.Low), -1) && math.IsInf(float64(i.High), 1):
		return "95%: anything"
	case math.IsInf(float64(i.High), 1):
		return "95%: " + low + " or more"
	case math.IsInf(float64(i.Low), -1):
		return "95%: " + high + " or less"
	}
	return fmt.Sprintf("95%%: %s to %s", low, high)
}
