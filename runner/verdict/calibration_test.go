package verdict_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// timed adds the latencies of 80 requests per second to a world, as the load
// generator counts them: log-normal, on a machine that is slower now and then for
// a while, looked at about every 250 ms. Under the fault they are times longer.
func timed(w *world, seed uint64, longer float64) *world {
	w.edit = func(r *record.Run) {
		r.Header.Seed = seed
		rng := rand.New(rand.NewPCG(seed, 3))
		counts := map[int64]int64{}
		var n uint64
		var sum, mood float64
		for i := range int(settle / (250 * time.Millisecond)) {
			at := time.Duration(i)*250*time.Millisecond + time.Duration(rng.IntN(20))*time.Millisecond
			mood = 0.6*mood + 0.08*rng.NormFloat64()
			for range 20 {
				v := 0.1 * math.Exp(0.3*rng.NormFloat64()+mood)
				if in(at, fault, recovery) {
					v *= longer
				}
				counts[int64(math.Ceil(64*math.Log2(v)))]++
				n, sum = n+1, sum+v
			}
			s := record.Scrape{At: nanos(at), Source: "timed", Up: true, H: []record.HistValue{{ID: 90, Schema: 6, Count: n, Sum: record.Float(sum)}}}
			for b, c := range counts {
				s.H[0].Pos = append(s.H[0].Pos, record.Bucket{b, c})
			}
			slices.SortFunc(s.H[0].Pos, func(a, b record.Bucket) int { return int(a[0] - b[0]) })
			if i == 0 {
				s.New = []record.Series{{ID: 90, Labels: map[string]string{"__name__": "d_seconds"}, Type: "histogram"}}
			}
			r.Scrapes = append(r.Scrapes, s)
		}
	}
	return w
}

// The intervals keep what they promise: of runs in which nothing changes few are
// said to have changed, and a 95th percentile that grows by half is found, as
// `make aa` shows on real systems. Each run is judged by a band and without one.
func TestComparisonIsCalibrated(t *testing.T) {
	t.Parallel()
	const runs = 100
	const p95 = "compare: 'histogram_quantile(0.95, sum(rate(d_seconds[$window])))'"
	sc, sys := scenario(t, "{id: band, "+p95+", atMost: 1.15}\n    - {id: none, "+p95+", atMost: 1}"), system(t)
	said := func(t *testing.T, longer float64) map[string]map[verdict.Verdict]int {
		counts := map[string]map[verdict.Verdict]int{"band": {}, "none": {}}
		for seed := range uint64(runs) {
			res := judgeOn(t, sys, sc, timed(newWorld(), seed, longer))
			for id := range counts {
				f := find(t, res, id)
				require.NotEqual(t, verdict.Error, f.Verdict, f.Why)
				counts[id][f.Verdict]++
			}
		}
		t.Log(counts)
		return counts
	}
	t.Run("same", func(t *testing.T) {
		t.Parallel()
		same := said(t, 1)
		assert.LessOrEqual(t, same["band"][verdict.Fail], runs/100, "identical systems told apart")
		assert.GreaterOrEqual(t, same["band"][verdict.Pass], runs/2, "and not only for want of a verdict")
		assert.LessOrEqual(t, same["none"][verdict.Fail], runs*6/100, "one side of a 95%% interval: 2.5%%, and the noise of %d runs", runs)
	})
	t.Run("half slower", func(t *testing.T) {
		t.Parallel()
		assert.GreaterOrEqual(t, said(t, 1.5)["band"][verdict.Fail], runs*95/100, "a shift of one and a half found")
	})
}
