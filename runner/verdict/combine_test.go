package verdict_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// losing lets n of the 400 operations begun under the fault fail.
func losing(n int) *world {
	w := newWorld()
	w.outcome = func(t time.Duration) record.Outcome {
		if i := int((t - fault) / (time.Second / rate)); t >= fault && i < 2*n && i%2 == 0 {
			return record.Failed
		}
		return record.OK
	}
	return w
}

func TestCombine(t *testing.T) {
	t.Parallel()
	skipped := func(w *world) *world {
		w.edit = func(r *record.Run) { r.End = &record.End{Reason: record.EndSkipped, Error: "no postgres"} }
		return w
	}
	blind := func(w *world) *world { w.events = nil; return w }
	dirty := func(w *world) *world {
		w.edit = func(r *record.Run) { r.End.Dirty = []string{"stage left"} }
		return w
	}
	const share = `{id: x, promql: 'sum(rate(squall_operations_total{outcome="ok"}[$window])) / sum(rate(squall_operations_total[$window]))', atLeast: 98%}`
	const quantile = `{id: x, promql: 'histogram_quantile(0.95, sum(rate(duration_seconds[$window])))', `
	timing := func(n int) (worlds []*world) {
		for range n {
			worlds = append(worlds, withLatencies(newWorld(), end)) // the 95th percentile is 95 ms
		}
		return worlds
	}
	const slowed = "{id: x, compare: 'histogram_quantile(0.95, sum(rate(d_seconds[$window])))', "
	for _, tt := range []struct {
		name, expect string
		worlds       []*world
		verdict      verdict.Verdict
		pooled       int
		sentence     string
	}{
		{"all pass", still, []*world{losing(0), losing(0)}, verdict.Pass, 0, `pass: "The shop sells" held in 2 runs`},
		{"together they are enough to pass", "{id: x, slo: checkout, atLeast: 98%}", []*world{losing(4), losing(4), losing(4)}, verdict.Pass, 3,
			`pass: "The shop sells" held in 3 runs; x was decided by all of them together`},
		{"so is a share in PromQL", share, []*world{losing(4), losing(4), losing(4)}, verdict.Pass, 3, `x was decided by all of them together`},
		{"together they are enough to fail", "{id: x, slo: checkout, atLeast: 99%}", []*world{losing(7), losing(7), losing(7)}, verdict.Fail, 3,
			"fail: x: over 3 runs together: checkout was 98.25%, not at least 99%: 1179 of 1200 events were good"},
		{"together they are too few", "{id: x, slo: checkout, atLeast: 98.5%}", []*world{losing(4), losing(5)}, verdict.Inconclusive, 2,
			"inconclusive: x: over 2 runs together: 791 of 800 events were good: not sure"},
		{"so is a quantile", quantile + "below: 97ms}", timing(9), verdict.Pass, 9, `x was decided by all of them together`},
		{"which may also fail", quantile + "below: 93.5ms}", timing(9), verdict.Fail, 9, "fail: x: over 9 runs together: only "},
		{"or be a floor", quantile + "above: 93.5ms}", timing(9), verdict.Pass, 9, `x was decided by all of them together`},
		{"or stay open", quantile + "below: 96ms}", timing(2), verdict.Inconclusive, 2, "events were below 96ms: not sure to be at least 95%, "},
		{"a quantile of several is not pooled", strings.ReplaceAll(quantile, "histogram_quantile(0.95, sum(rate(duration_seconds[$window])))", "max(histogram_quantile(0.95, sum(rate(duration_seconds[$window]))))") + "below: 97ms}",
			timing(9), verdict.Inconclusive, 0, "in 9 of 9 runs: measured "},
		{"so is a comparison", slowed + "atMost: 1.4}", quarterSlower(), verdict.Pass, 4, `x was decided by all of them together`},
		{"or it stays open", slowed + "atMost: 1.25}", quarterSlower(), verdict.Inconclusive, 4, "longer phases or more runs would decide"},
		{"runs that had too few events each", "{id: x, slo: checkout, atLeast: 98%, minSamples: 700}", []*world{losing(0), losing(0)}, verdict.Pass, 2, "decided by all"},
		{"one that fails is not outvoted", "{id: x, slo: checkout, atLeast: 98%}", []*world{losing(0), losing(0), losing(40)}, verdict.Fail, 0,
			"fail: x: in 1 of 3 runs: checkout was 90%"},
		{"a run without evidence is not made up for", "{id: x, slo: checkout, atLeast: 98%}", []*world{losing(4), blind(losing(0))}, verdict.Inconclusive, 0,
			"inconclusive: in 1 of 2 runs: net-latency on payments -> psp-primary was never injected"},
		{"skipped", still, []*world{skipped(losing(0)), skipped(losing(0))}, verdict.Skipped, 0, "skipped: no postgres"},
		{"dirty", still, []*world{losing(0), dirty(losing(0))}, verdict.Pass, 0, "dirty: not restored: run 2: stage left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, ps := verdict.NewJudge(scenario(t, tt.expect), system(t))
			require.Empty(t, ps)
			var runs []verdict.Result
			for _, w := range tt.worlds {
				runs = append(runs, j.Judge(context.Background(), w.run()))
			}
			got := j.Combine(runs)
			assert.Equal(t, tt.verdict, got.Verdict)
			assert.Contains(t, got.Sentence, tt.sentence)
			f := find(t, got, "x")
			assert.Equal(t, tt.pooled, f.Pooled)
			assert.Len(t, f.Details, len(runs), "each run is named")
			assert.Len(t, got.Findings, len(runs[0].Findings))
		})
	}
}

func TestOneRunIsNotCombined(t *testing.T) {
	j, ps := verdict.NewJudge(scenario(t, still), system(t))
	require.Empty(t, ps)
	one := j.Judge(context.Background(), newWorld().run())
	assert.Equal(t, one, j.Combine([]verdict.Result{one}))
}

// quarterSlower are runs that are a quarter slower under the fault, of which
// none alone shows whether it is more than that.
func quarterSlower() (worlds []*world) {
	for seed := range uint64(4) {
		worlds = append(worlds, timed(newWorld(), seed+2, 1.25))
	}
	return worlds
}
