package verdict

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// autocorrelated makes positive values that resemble their neighbours, as
// latencies of a busy system do: an AR(1) process of logarithms.
func autocorrelated(rng *rand.Rand, n int, level float64) []float64 {
	const phi, noise = 0.3, 0.2
	v := make([]float64, n)
	x := rng.NormFloat64() * noise
	for i := range v {
		x = phi*x + noise*math.Sqrt(1-phi*phi)*rng.NormFloat64()
		v[i] = level * math.Exp(x)
	}
	return v
}

// intervals are those of many pairs of series whose true ratio is known.
func intervals(trials int, ratio float64) []Interval {
	rng := rand.New(rand.NewPCG(7, 11))
	all := make([]Interval, trials)
	for i := range all {
		_, all[i] = ratioOfMeans(autocorrelated(rng, 16, 1), autocorrelated(rng, 16, ratio), uint64(i))
	}
	return all
}

func broken(limit float64, all []Interval) (n int) {
	bs := bounds{{words: "at most", limit: limit}}
	for _, in := range all {
		if bs.decide(in) == Fail {
			n++
		}
	}
	return n
}

// brokenTogether counts the groups of runs that, pooled, are not at most 1.
func brokenTogether(t *testing.T, runs int, all []Interval) (n int) {
	c := compare{bounds: bounds{{words: "at most", limit: 1}}}
	for group := range slices.Chunk(all, runs) {
		var fs []Finding
		for _, in := range group {
			fs = append(fs, Finding{Interval: &in})
		}
		f := Finding{Group: "expect"}
		require.True(t, c.pool(&f, fs))
		if f.Verdict == Fail {
			n++
		}
	}
	return n
}

// Two systems that are the same are not told apart, also where no difference at
// all would be allowed; a shift of half as much again is. Several runs together
// are as careful, and find smaller shifts.
func TestRatioOfMeansIsCalibrated(t *testing.T) {
	t.Parallel()
	same := intervals(1000, 1)
	assert.LessOrEqual(t, broken(1, same), 40, "of 1000 pairs of the same: 25 are expected, and 15 more are three standard deviations")
	assert.Zero(t, broken(1.2, same))
	assert.LessOrEqual(t, brokenTogether(t, 4, same), 14, "of 250: 6.25 are expected, and 7.5 more are three standard deviations")

	assert.GreaterOrEqual(t, broken(1, intervals(400, 1.5)), 380, "a shift of 1.5 is found")
	shifted := intervals(400, 1.15)
	assert.Greater(t, brokenTogether(t, 4, shifted), 2*broken(1, shifted)/4, "twice as often as by one run")
}

func TestRatioOfMeansIsReproducible(t *testing.T) {
	a, b := []float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{2, 3, 4, 5, 6, 7, 8, 9}
	ratio, one := ratioOfMeans(a, b, 3)
	_, two := ratioOfMeans(a, b, 3)
	_, other := ratioOfMeans(a, b, 4)
	assert.Equal(t, one, two)
	assert.NotEqual(t, one, other)
	assert.InDelta(t, 5.5/4.5, ratio, 1e-9)
	assert.Less(t, float64(one.Low), ratio)
	assert.Greater(t, float64(one.High), ratio)
}
