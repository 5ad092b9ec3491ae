package metrics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
	"squall/runner/record"
)

// traffic is 40 ticks of counters: 10 requests at each, of them 1 an error, in
// two classic buckets, with a restart at tick 30.
func traffic(t *testing.T) *metrics.Store {
	var all []record.Scrape
	for n := range 41 {
		sc := scrape("a", n)
		if n == 0 {
			sc.New = []record.Series{
				series(1, "all_total", "counter"), series(2, "err_total", "counter"), series(3, "load", "gauge"),
				series(4, "d_bucket", "counter", "le", "0.5"), series(5, "d_bucket", "counter", "le", "+Inf"),
				series(6, "h", "histogram"),
			}
		}
		v := n
		if n >= 30 {
			v = n - 30
		}
		sc.V = []record.Value{
			{ID: 1, V: record.Float(10 * v)}, {ID: 2, V: record.Float(v)}, {ID: 3, V: record.Float(v)},
			{ID: 4, V: record.Float(9 * v)}, {ID: 5, V: record.Float(10 * v)},
		}
		sc.H = []record.HistValue{{ID: 6, Schema: 5, Count: uint64(v), Pos: []record.Bucket{{1, int64(v)}}}}
		if v == 0 {
			sc.H[0].Pos = nil
		}
		all = append(all, sc)
	}
	return load(t, all...)
}

func TestEvidence(t *testing.T) {
	s := traffic(t)
	for _, c := range []struct {
		expr         string
		at           int // tick
		samples      int
		observations float64
		hist         bool
	}{
		{"increase(all_total[2s] anchored)", 20, 8, 80, false},
		{"rate(err_total[2s]) / rate(all_total[2s])", 20, 8, 80, false},
		{"rate(all_total[2s]) + rate(all_total[2s])", 20, 8, 80, false},
		{"increase(all_total[2s] offset 1s)", 20, 8, 80, false},
		{"increase(all_total[2s] @ 1700000005)", 40, 8, 80, false},
		{"increase(all_total[2s])", 34, 8, 30 + 40, false}, // ticks 27 to 29, then 31 to 34
		{"max_over_time(rate(all_total[1s])[2s:1s])", 20, 12, 120, false},
		{"max_over_time(rate(all_total[1s])[2s:1s] offset 1s)", 20, 12, 120, false},
		{"histogram_quantile(0.9, sum by (le) (rate(d_bucket[2s])))", 20, 16, 80, false},
		{"avg_over_time(load[2s])", 20, 8, 0, false},
		{"load", 20, 8, 0, false},
		{"histogram_quantile(0.9, rate(h[2s]))", 20, 8, 8, true},
		{"histogram_quantile(0.9, h)", 20, 8, 20, true},
		{"histogram_quantile(0.9, rate(h[2s])) > rate(all_total[1s])", 20, 8, 40, true},
	} {
		ev, err := metrics.NewEngine().Evidence(t.Context(), s, c.expr, at(c.at))
		require.NoError(t, err, c.expr)
		assert.Equal(t, metrics.Evidence{Samples: c.samples, Observations: c.observations, Histograms: c.hist}, ev, c.expr)
	}
}

// A series that stood still for the window is evidence of no events.
func TestEvidenceOfNothingHappening(t *testing.T) {
	first := scrape("a", 0)
	first.New = []record.Series{series(1, "x_total", "counter")}
	first.V = []record.Value{{ID: 1, V: 100}}
	all := []record.Scrape{first}
	for n := 1; n < 20; n++ {
		all = append(all, scrape("a", n))
	}
	ev, err := metrics.NewEngine().Evidence(t.Context(), load(t, all...), "increase(x_total[2s])", start.Add(4*time.Second))
	require.NoError(t, err)
	assert.Equal(t, metrics.Evidence{Samples: 8}, ev)
}
