package proxy

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// latencyToxic delays every piece. Order is kept: a piece waits for those before it,
// so on a busy connection jitter adds up to more than it says.
type latencyToxic struct {
	Latency millis `json:"latency"`
	Jitter  millis `json:"jitter"`
	// Distribution of the delay, uniform if empty; see spread.
	Distribution string `json:"distribution,omitempty"`
}

// paretoShape is the shape of the heavy tail: the mean and the variance are
// finite, and one delay in 1,000 is above 18 times the mean.
const paretoShape = 3

// spreads say by how many jitters a delay differs from the latency, from a
// number u in (0, 1): each is the inverse of its distribution function.
var spreads = map[string]func(u float64) float64{
	// uniform: between -1 and 1.
	"uniform": func(u float64) float64 { return 2*u - 1 },
	// normal: jitter is the standard deviation.
	"normal": func(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) },
	// exponential: latency is the least, jitter the mean of what comes on top.
	"exponential": func(u float64) float64 { return -math.Log(u) },
	// pareto (Lomax): likewise, with a heavy tail.
	"pareto": func(u float64) float64 { return (paretoShape - 1) * (math.Pow(u, -1.0/paretoShape) - 1) },
}

func (l *latencyToxic) check() error {
	if _, ok := spreads[l.distribution()]; !ok {
		return fmt.Errorf("unknown distribution %q, expected uniform, normal, exponential or pareto", l.Distribution)
	}
	return errors.Join(notNegative("latency", l.Latency), notNegative("jitter", l.Jitter))
}

func (l *latencyToxic) distribution() string {
	if l.Distribution == "" {
		return "uniform"
	}
	return l.Distribution
}

func (*latencyToxic) unit() string { return unitBytes }
func (*latencyToxic) room() int    { return roomDelay }

func (l *latencyToxic) shape(st *station, p piece) {
	d := float64(l.delay(st.roll())) * st.growth(p.came)
	st.hold(p, p.came.Add(time.Duration(d)))
}

// delay turns a number u in [0, 1) into a delay, which is never negative.
func (l *latencyToxic) delay(u float64) time.Duration {
	u = max(u, 1.0/(1<<54)) // zero has no inverse
	return max(0, (l.Latency + l.Jitter*millis(spreads[l.distribution()](u))).duration())
}
