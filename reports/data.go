package reports

import (
	"math"
	"slices"
	"time"

	"squall/runner/record"
)

// second is what the client saw in one second of the run.
type second struct {
	T                   time.Duration
	OK, Failed, Unknown int
	P50, P95, P99       float64 // of ok operations, seconds; NaN without any
}

func (s second) all() int { return s.OK + s.Failed + s.Unknown }

// perSecond groups operations by the second in which they ended.
func perSecond(run *record.Run) []second {
	n := int(math.Ceil(run.Last.Seconds()))
	out := make([]second, max(n, 0))
	lat := make([][]float64, len(out))
	for i := range out {
		out[i].T = time.Duration(i) * time.Second
	}
	for _, op := range run.Operations {
		i := int(run.T(op.At+op.Dur) / time.Second)
		if i < 0 || i >= len(out) {
			continue
		}
		out[i].count(op.Outcome)
		if op.Outcome == record.OK {
			lat[i] = append(lat[i], time.Duration(op.Dur).Seconds())
		}
	}
	for i := range out {
		slices.Sort(lat[i])
		out[i].P50, out[i].P95, out[i].P99 = quantile(lat[i], 0.5), quantile(lat[i], 0.95), quantile(lat[i], 0.99)
	}
	return out
}

func (s *second) count(o record.Outcome) {
	switch o {
	case record.OK:
		s.OK++
	case record.Failed:
		s.Failed++
	default:
		s.Unknown++
	}
}

// quantile is the order statistic of a sorted sample (nearest rank).
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	return xs[max(0, int(math.Ceil(q*float64(len(xs))))-1)]
}

// phaseStats is one column of the comparison.
type phaseStats struct {
	Name                string
	Length              time.Duration
	OK, Failed, Unknown int
	P50, P95, P99       float64
}

func (p phaseStats) all() int { return p.OK + p.Failed + p.Unknown }

func (p phaseStats) rate() float64 {
	if p.Length <= 0 {
		return math.NaN()
	}
	return float64(p.all()) / p.Length.Seconds()
}

func (p phaseStats) success() float64 {
	if p.all() == 0 {
		return math.NaN()
	}
	return float64(p.OK) / float64(p.all())
}

// perPhase compares baseline, fault and recovery; an operation belongs to the
// phase in which it began.
func perPhase(run *record.Run) []phaseStats {
	var out []phaseStats
	for _, name := range judgedPhases {
		span, ok := run.Phase(name)
		if !ok {
			continue
		}
		p := phaseStats{Name: name, Length: span.To - span.From}
		var lat []float64
		var s second
		for _, op := range run.Operations {
			if t := run.T(op.At); t < span.From || t >= span.To {
				continue
			}
			s.count(op.Outcome)
			if op.Outcome == record.OK {
				lat = append(lat, time.Duration(op.Dur).Seconds())
			}
		}
		slices.Sort(lat)
		p.OK, p.Failed, p.Unknown = s.OK, s.Failed, s.Unknown
		p.P50, p.P95, p.P99 = quantile(lat, 0.5), quantile(lat, 0.95), quantile(lat, 0.99)
		out = append(out, p)
	}
	return out
}

// loadBegins is when the first operation began.
func loadBegins(run *record.Run) time.Duration {
	first := run.Last
	for _, op := range run.Operations {
		first = min(first, run.T(op.At))
	}
	return first
}
