package verdict_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

// runs of one scenario on a machine on which runs differ by so much (the
// standard deviation of the logarithm of what operations take).
func runs(t *testing.T, n int, seed uint64, slower, scatter float64, world func() *world) (all []verdict.Sample) {
	t.Helper()
	chance := rand.New(rand.NewPCG(seed, 9))
	for i := range n {
		all = append(all, sample(t, world(), seed*100+uint64(i), slower*math.Exp(scatter*chance.NormFloat64())))
	}
	return all
}

func TestCompareOverRepeats(t *testing.T) {
	t.Parallel()
	const scatter = 0.03
	before := runs(t, 4, 1, 1, scatter, newWorld)
	for _, tt := range []struct {
		name    string
		after   []verdict.Sample
		worse   bool
		effects map[string]verdict.Effect // of the fault phase
		why     string
	}{
		{"the same again", runs(t, 4, 2, 1, scatter, newWorld), false, map[string]verdict.Effect{"checkout median": verdict.Unclear}, ""},
		{"three times as slow", runs(t, 4, 3, 3, scatter, newWorld), true, map[string]verdict.Effect{"checkout median": verdict.Worse, "checkout 95th percentile": verdict.Worse}, ""},
		{"three times as fast", runs(t, 4, 4, 1/3.0, scatter, newWorld), false, map[string]verdict.Effect{"checkout median": verdict.Better}, ""},
		// The slices of two such runs alone would call it slower, with certainty.
		{"slower by half where runs differ by half", runs(t, 4, 5, 1.5, 0.4, newWorld), false, map[string]verdict.Effect{"checkout median": verdict.Unclear}, ""},
		{"failing each time", runs(t, 4, 6, 1, scatter, func() *world { return failing(5) }), true, map[string]verdict.Effect{"checkout ok": verdict.Worse}, ""},
		{"two are too few", runs(t, 2, 7, 3, scatter, newWorld), false, map[string]verdict.Effect{"checkout median": verdict.Unclear}, "too few repeats: 4 and 2 with enough data, 3 each are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := verdict.Compare(before, tt.after, 0.1)
			assert.Equal(t, [2]int{4, len(tt.after)}, d.Runs)
			assert.Equal(t, tt.worse, d.Worse())
			for name, want := range tt.effects {
				m := of(t, d, "fault", name)
				assert.Equal(t, want, m.Effect, "%s: %+v", name, m)
				assert.Equal(t, tt.why, m.Why)
				assert.Len(t, m.ToRuns, len(tt.after))
			}
		})
	}
}

func TestAssertionsOverRepeats(t *testing.T) {
	t.Parallel()
	good := runs(t, 6, 1, 1, 0, newWorld)
	bad := runs(t, 6, 2, 1, 0, func() *world { return failing(5) })
	mixed := append(append([]verdict.Sample{}, good[:4]...), bad[:2]...)
	kept := func(a, b []verdict.Sample) (verdict.Change, verdict.Kept) {
		c := verdict.Compare(a, b, 0.1).Assertions[1]
		require.Equal(t, "x", c.ID)
		require.NotNil(t, c.Kept)
		return c, *c.Kept
	}
	c, k := kept(good, bad)
	assert.True(t, c.Worse())
	assert.Equal(t, verdict.Kept{Held: [2]int{6, 0}, Runs: [2]int{6, 6}, P: k.P, Sure: true}, k)
	assert.InDelta(t, 2/924.0, k.P, 1e-9, "two of the 924 ways to choose six of twelve")

	c, k = kept(good, mixed)
	assert.False(t, c.Worse(), "broken in two of six runs may be chance")
	assert.InDelta(t, 0.4545, k.P, 1e-4, "as R's fisher.test has it")
	assert.Zero(t, k.Needed, "six could have told")

	c, k = kept(good[:3], bad[:3])
	assert.True(t, c.Worse(), "always, and never since")
	assert.False(t, k.Sure)
	assert.InDelta(t, 0.1, k.P, 1e-9)
	assert.Equal(t, 5, k.Needed)

	c, _ = kept(bad, good)
	assert.False(t, c.Worse(), "what is mended is not worse")
	c, _ = kept(bad[:3], bad[3:])
	assert.False(t, c.Worse(), "it was broken before")
}
