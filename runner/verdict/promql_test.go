package verdict_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

const latencyID = 77

// withLatencies adds a native histogram of every operation's duration, which
// is 1 ms to 100 ms in turn. From late on, no operation is counted.
func withLatencies(w *world, late time.Duration) *world {
	const schema = 5
	w.edit = func(r *record.Run) {
		buckets, sum, n := map[int64]int64{}, 0.0, uint64(0)
		done := 0
		for i := range r.Scrapes {
			s := &r.Scrapes[i]
			if s.Source != "k6" {
				continue
			}
			for ; done < len(r.Operations) && r.Operations[done].At < s.At && r.T(r.Operations[done].At) < late; done++ {
				d := float64(done*37%100+1) / 1000
				buckets[int64(math.Ceil(math.Log2(d)*math.Exp2(schema)))]++
				sum, n = sum+d, n+1
			}
			if i < 2 {
				s.New = append(slices.Clone(s.New), record.Series{ID: latencyID, Type: "histogram", Labels: map[string]string{"__name__": "duration_seconds"}})
			}
			h := record.HistValue{ID: latencyID, Schema: schema, Count: n, Sum: record.Float(sum)}
			for _, b := range slices.Sorted(maps.Keys(buckets)) {
				h.Pos = append(h.Pos, record.Bucket{b, buckets[b]})
			}
			s.H = append(s.H, h)
		}
	}
	return w
}

// The p95 of 400 durations from 1 ms to 100 ms is 95 ms; the order statistics
// that bound it are those of ranks 92.9 % and 97.1 %.
func TestPromQLQuantileIsAnEstimate(t *testing.T) {
	const p95 = "{id: x, promql: 'histogram_quantile(0.95, sum(rate(duration_seconds[$window])))', "
	for _, tt := range []struct {
		name, expect string
		late         time.Duration
		verdict      verdict.Verdict
		why          string
	}{
		{"well below", p95 + "below: 110ms}", end, verdict.Pass, "measured "},
		{"below, but not surely", p95 + "below: 96ms}", end, verdict.Inconclusive, "not sure to be below 96ms, "},
		{"above, but not surely", p95 + "below: 94ms}", end, verdict.Inconclusive, "not sure to be below 94ms"},
		{"well above", p95 + "below: 80ms}", end, verdict.Fail, "not below 80ms"},
		{"a floor, well above", p95 + "above: 80ms}", end, verdict.Pass, "measured "},
		{"a floor, not surely", p95 + "above: 96ms}", end, verdict.Inconclusive, "not sure to be above 96ms, "},
		{"within two bounds, of which none is sure", p95 + "above: 94ms, below: 1s}", end, verdict.Inconclusive, "not sure to be above 94ms and below 1s"},
		{"so few that none lies beyond it", p95 + "below: 10s}", fault + 1500*time.Millisecond, verdict.Inconclusive, "not sure to be below 10s, 73 events would decide"},
		{"which does not keep it from failing", p95 + "below: 10ms}", fault + 1500*time.Millisecond, verdict.Fail, "not below 10ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, withLatencies(newWorld(), tt.late))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Why, tt.why)
			require.NotNil(t, f.Interval)
			if tt.late == end {
				assert.InDelta(t, 0.0929, float64(f.Interval.Low), 0.003)
				assert.InDelta(t, 0.0971, float64(f.Interval.High), 0.003)
			}
		})
	}
}

func TestPromQLShareIsAnEstimate(t *testing.T) {
	const share = `{id: x, promql: 'sum(increase(squall_operations_total{outcome="failed"}[$window])) / sum(increase(squall_operations_total[$window]))', `
	for _, tt := range []struct {
		name, expect string
		verdict      verdict.Verdict
	}{
		{"well below", share + "below: 10%}", verdict.Pass},
		{"not surely", share + "below: 6%}", verdict.Inconclusive},
		{"well above", share + "below: 2%}", verdict.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, failing(20))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			require.NotNil(t, f.Interval)
		})
	}
}

// A gate must answer on little data: there the value decides.
func TestSteadyStateIsDecidedByTheValue(t *testing.T) {
	sc := parse(t, scenarioText("{id: gate, slo: checkout}", still, ""))
	f := find(t, judge(t, sc, newWorld()), "gate")
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Equal(t, "100% (95%: 98.42% to 100%)", f.Measured)
}

// The largest of several quantiles is a quantile of none of their distributions.
func TestPromQLQuantileOfTooFew(t *testing.T) {
	f := check(t, "{id: x, promql: 'max(histogram_quantile(0.95, sum(rate(duration_seconds[$window]))))', below: 10s}", withLatencies(newWorld(), fault+1500*time.Millisecond))
	assert.Contains(t, f.Why, "a 0.95-quantile needs 73 events at least")
	assert.Nil(t, f.Tally)
}

// The share of events below a bound decides as the order statistics do.
func TestQuantilesAreDecidedByTheirInterval(t *testing.T) {
	t.Parallel()
	for ms := 85; ms <= 105; ms++ {
		f := check(t, fmt.Sprintf("{id: x, promql: 'histogram_quantile(0.95, sum(rate(duration_seconds[$window])))', below: %dms}", ms), withLatencies(newWorld(), end))
		limit, want := float64(ms)/1000, verdict.Inconclusive
		switch {
		case float64(f.Interval.High) < limit:
			want = verdict.Pass
		case float64(f.Interval.Low) >= limit:
			want = verdict.Fail
		}
		assert.Equal(t, want, f.Verdict, "%d ms: %s", ms, f.Why)
	}
}
