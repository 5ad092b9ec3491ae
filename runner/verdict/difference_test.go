package verdict_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

const fastEnough = "{id: x, slo: checkout, atLeast: 97%}\n    - {id: served, promql: 'sum(rate(squall_operations_total[$window]))', atLeast: 30}"

// sample is what is compared of a judged run whose operations take 20 ms or so under the fault, times slower.
func sample(t *testing.T, w *world, seed uint64, slower float64) verdict.Sample {
	t.Helper()
	chance := rand.New(rand.NewPCG(seed, 7))
	edit := w.edit
	w.edit = func(r *record.Run) {
		edit(r)
		for i := range r.Operations {
			took := float64(20*time.Millisecond) * (1 + chance.ExpFloat64()/4)
			if in(r.T(r.Operations[i].At), fault, recovery) {
				took *= slower
			}
			r.Operations[i].Dur = int64(took)
		}
	}
	j, ps := verdict.NewJudge(scenario(t, fastEnough), system(t))
	require.Empty(t, ps)
	run := w.run()
	out, err := verdict.Saved{Run: run, Judge: j, Result: j.Judge(context.Background(), run)}.Sample(context.Background())
	require.NoError(t, err)
	return out
}

func one(s verdict.Sample) []verdict.Sample { return []verdict.Sample{s} }

func of(t *testing.T, d verdict.Difference, phase, name string) verdict.Measure {
	t.Helper()
	for _, m := range d.Measures {
		if m.Phase == phase && m.Name == name {
			return m
		}
	}
	require.Fail(t, "no measure", "%s in %s", name, phase)
	return verdict.Measure{}
}

// What is compared of an expression has the unit that its bound is written in.
func TestMeasuresHaveTheUnitOfTheirBound(t *testing.T) {
	const expr = "promql: 'sum(rate(squall_operations_total[$window])) / 100', "
	j, ps := verdict.NewJudge(scenario(t, "{id: waits, "+expr+"below: 800ms}\n    - {id: part, "+expr+"atLeast: 10%}\n    - {id: n, "+expr+"below: 3}"), system(t))
	require.Empty(t, ps)
	run := newWorld().run()
	s, err := verdict.Saved{Run: run, Judge: j, Result: j.Judge(context.Background(), run)}.Sample(context.Background())
	require.NoError(t, err)
	d := verdict.Compare(one(s), one(s), 0.1)
	for name, unit := range map[string]string{"waits": "seconds", "part": "share", "n": ""} {
		assert.Equal(t, unit, of(t, d, "fault", name).Unit, name)
	}
}

func TestCompareRuns(t *testing.T) {
	t.Parallel()
	brief := newWorld()
	brief.edit = func(r *record.Run) { r.Phases[2].To = fault + 3*time.Second }
	for _, tt := range []struct {
		name    string
		b       verdict.Sample
		worse   bool
		effects map[string]verdict.Effect // of the fault phase
	}{
		{"the same again", sample(t, newWorld(), 2, 1), false, map[string]verdict.Effect{
			"checkout ok": verdict.Unclear, "checkout median": verdict.Same, "served": verdict.Same}}, // 400 events are too few for a point
		{"slower by half", sample(t, newWorld(), 2, 1.5), true, map[string]verdict.Effect{
			"checkout ok": verdict.Unclear, "checkout median": verdict.Worse, "checkout 95th percentile": verdict.Worse}},
		{"faster", sample(t, newWorld(), 2, 0.5), false, map[string]verdict.Effect{
			"checkout median": verdict.Better, "checkout 95th percentile": verdict.Better}},
		{"a tenth slower, which is the band", sample(t, newWorld(), 2, 1.1), false, map[string]verdict.Effect{"checkout median": verdict.Unclear}},
		{"failing", sample(t, failing(5), 2, 1), true, map[string]verdict.Effect{"checkout ok": verdict.Worse, "served": verdict.Same}},
		{"too short to tell", sample(t, brief, 2, 3), false, map[string]verdict.Effect{"checkout median": verdict.Unclear}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := verdict.Compare(one(sample(t, newWorld(), 1, 1)), one(tt.b), 0.1)
			assert.Equal(t, tt.worse, d.Worse())
			for name, want := range tt.effects {
				m := of(t, d, "fault", name)
				assert.Equal(t, want, m.Effect, "%s: %+v", name, m)
			}
			assert.NotEqual(t, verdict.Worse, of(t, d, "baseline", "checkout median").Effect, "nothing is different before the fault")
		})
	}
}

func TestCompareAssertions(t *testing.T) {
	d := verdict.Compare(one(sample(t, newWorld(), 1, 1)), one(sample(t, failing(5), 2, 1)), 0.1)
	require.Len(t, d.Assertions, 3)
	assert.Equal(t, verdict.Change{Group: "steady", ID: "ok", Was: verdict.Pass, Is: verdict.Pass, From: d.Assertions[0].From, To: d.Assertions[0].To}, d.Assertions[0])
	broke := d.Assertions[1]
	assert.Equal(t, [2]verdict.Verdict{verdict.Pass, verdict.Fail}, [2]verdict.Verdict{broke.Was, broke.Is})
	assert.True(t, broke.Worse())
	assert.Contains(t, broke.To, "80%")

	back := verdict.Compare(one(sample(t, failing(5), 2, 1)), one(sample(t, newWorld(), 1, 1)), 0.1)
	assert.False(t, back.Worse(), "what is mended is not worse")
}

// Two runs of the same are called different, in whatever measure, no more often
// than intervals that hold together say: two in forty, and the noise of forty.
func TestSameRunsAreRarelyCalledDifferent(t *testing.T) {
	t.Parallel()
	differ := 0
	for seed := range uint64(40) {
		d := verdict.Compare(one(sample(t, newWorld(), 2*seed, 1)), one(sample(t, newWorld(), 2*seed+1, 1)), 0)
		if slices.ContainsFunc(d.Measures, func(m verdict.Measure) bool { return m.Effect == verdict.Worse || m.Effect == verdict.Better }) {
			differ++
		}
	}
	assert.LessOrEqual(t, differ, 5)
}
