package reports

import (
	"math"
	"slices"
	"time"

	"squall/runner/record"
)

// mostBuckets bounds the points of a line: more could not be told apart.
const mostBuckets = 600

// stepOf is the length of a bucket: a second, or more where that is too many.
func stepOf(length time.Duration) time.Duration {
	step := time.Second
	for _, next := range []int{2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600} {
		if length <= mostBuckets*step {
			break
		}
		step = time.Duration(next) * time.Second
	}
	return max(step, (length / mostBuckets).Round(time.Second))
}

// bucket is what happened in one step of the run.
type bucket struct {
	T       time.Duration `json:"t"`
	OK      int           `json:"ok"`
	Failed  int           `json:"failed"`
	Unknown int           `json:"unknown"`
	P50     record.Float  `json:"p50"` // of ok operations, seconds; NaN without any
	P95     record.Float  `json:"p95"`
	P99     record.Float  `json:"p99"`
	Bad     record.Float  `json:"bad"`     // 95th percentile of those not ok
	Calls   int           `json:"calls"`   // between all services
	Retries int           `json:"retries"` // of those, beyond the first of their operation
	Lost    float64       `json:"lost"`    // iterations that the generator could not start
}

func (b bucket) all() int { return b.OK + b.Failed + b.Unknown }

// perBucket groups operations and calls by the bucket in which they ended; again
// is as retries has it.
func perBucket(run *record.Run, step time.Duration, again []bool) []bucket {
	out := make([]bucket, int(math.Ceil(run.Last.Seconds()/step.Seconds())))
	good, bad := make([][]float64, len(out)), make([][]float64, len(out))
	at := func(t int64) int {
		if i := int(run.T(t) / step); run.T(t) >= 0 && i < len(out) {
			return i
		}
		return -1
	}
	for i := range out {
		out[i].T = time.Duration(i) * step
	}
	for _, op := range run.Operations {
		i := at(op.At + op.Dur)
		if i < 0 {
			continue
		}
		out[i].count(op.Outcome)
		took := time.Duration(op.Dur).Seconds()
		if op.Outcome == record.OK {
			good[i] = append(good[i], took)
		} else {
			bad[i] = append(bad[i], took)
		}
	}
	for n := range run.Exchanges {
		if i := at(run.Exchanges[n].At + run.Exchanges[n].Dur); i >= 0 {
			out[i].Calls++
			if again[n] {
				out[i].Retries++
			}
		}
	}
	lost := dropped(run, step, len(out))
	for i := range out {
		b := &out[i]
		slices.Sort(good[i])
		slices.Sort(bad[i])
		b.P50, b.P95, b.P99, b.Bad = quantile(good[i], 0.5), quantile(good[i], 0.95), quantile(good[i], 0.99), quantile(bad[i], 0.95)
		b.Lost = lost[i]
	}
	return out
}

func (b *bucket) count(o record.Outcome) {
	switch o {
	case record.OK:
		b.OK++
	case record.Failed:
		b.Failed++
	default:
		b.Unknown++
	}
}

// quantile is the order statistic of a sorted sample (nearest rank).
func quantile(xs []float64, q float64) record.Float {
	if len(xs) == 0 {
		return record.Float(math.NaN())
	}
	return record.Float(xs[max(0, int(math.Ceil(q*float64(len(xs))))-1)])
}

// phaseStats is one column of the comparison.
type phaseStats struct {
	Name    string        `json:"name"`
	Length  time.Duration `json:"length"`
	OK      int           `json:"ok"`
	Failed  int           `json:"failed"`
	Unknown int           `json:"unknown"`
	P50     record.Float  `json:"p50"`
	P95     record.Float  `json:"p95"`
	P99     record.Float  `json:"p99"`
	Waited  record.Float  `json:"waited"` // 95th percentile of all operations: those who got nothing waited too
}

func (p phaseStats) all() int { return p.OK + p.Failed + p.Unknown }

func (p phaseStats) rate() float64 {
	if p.Length <= 0 {
		return math.NaN()
	}
	return float64(p.all()) / p.Length.Seconds()
}

func (p phaseStats) success() float64 { return share(p.OK, p.all()) }

// perPhase compares baseline, fault and recovery; an operation belongs to the
// phase in which it began.
func perPhase(run *record.Run) []phaseStats {
	var out []phaseStats
	var lat, all []float64
	for _, name := range judgedPhases {
		span, ok := run.Phase(name)
		if !ok {
			continue
		}
		p := phaseStats{Name: name, Length: span.To - span.From}
		lat, all = lat[:0], all[:0]
		var b bucket
		for _, op := range run.Operations {
			if t := run.T(op.At); t < span.From || t >= span.To {
				continue
			}
			b.count(op.Outcome)
			took := time.Duration(op.Dur).Seconds()
			all = append(all, took)
			if op.Outcome == record.OK {
				lat = append(lat, took)
			}
		}
		slices.Sort(lat)
		slices.Sort(all)
		p.OK, p.Failed, p.Unknown = b.OK, b.Failed, b.Unknown
		p.P50, p.P95, p.P99 = quantile(lat, 0.5), quantile(lat, 0.95), quantile(lat, 0.99)
		p.Waited = quantile(all, 0.95)
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
