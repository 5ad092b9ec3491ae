package reports

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

func TestDifferenceText(t *testing.T) {
	a := RowOf(plot.input(t))
	b := a
	a.Header.Defects, a.Result.Verdict, a.Result.Dirty = nil, verdict.Pass, nil
	a.Dir, b.Dir, b.Header.PlanHash = "out/a/psp-slow", "out/b/psp-slow", "another"
	d := verdict.Difference{
		Band: 0.1, Runs: [2]int{1, 1},
		Assertions: []verdict.Change{
			{ID: "fast", Was: verdict.Pass, Is: verdict.Fail, From: "80ms", To: "1.2s"}, {ID: "ok", Was: verdict.Pass, Is: verdict.Pass},
			{ID: "added", Is: verdict.Pass, To: "3"}, {ID: "left", Was: verdict.Pass, From: "3"},
		},
		Measures: []verdict.Measure{
			{Phase: "baseline", Name: "checkout ok", Unit: "share", From: 1, To: 1, Interval: verdict.Interval{Low: -0.001, High: 0.001}, Effect: verdict.Same},
			{Phase: "fault", Name: "checkout ok throughput", Unit: "per second", From: 40, To: 20, Relative: true, Change: 0.5, Interval: verdict.Interval{Low: 0.4, High: 0.6}, Effect: verdict.Worse},
			{Phase: "fault", Name: "checkout median", Unit: "seconds", From: 0.02, To: 0.01, Relative: true, Change: 0.5, Interval: verdict.Interval{Low: 0.4, High: 0.6}, Effect: verdict.Better},
			{Phase: "fault", Name: "depth", From: 3, To: 3.2, Relative: true, Change: 1.07, Interval: verdict.Interval{Low: 0.9, High: 1.2}, Effect: verdict.Unclear},
			{Phase: "recovery", Name: "depth", Relative: true, Effect: verdict.Unclear, Why: "3 slices, 8 are needed"},
		},
	}
	var out bytes.Buffer
	require.NoError(t, DifferenceText(&out, Compared{A: []Row{a}, B: []Row{b}, Difference: d}, false))
	golden(t, "difference.txt", out.String())
	b.Header.Run, d.Assertions[0].ID = hostile, hostile
	out.Reset()
	require.NoError(t, DifferenceText(&out, Compared{A: []Row{a}, B: []Row{b}, Difference: d}, false))
	noControl(t, out.String())
}

func TestComparePage(t *testing.T) {
	a, b := plot.input(t), plot.input(t)
	b.Run.Header.Run, b.Run.Header.PlanHash = hostile, "another"
	d := verdict.Difference{
		Band: 0.1, Runs: [2]int{1, 1},
		Assertions: []verdict.Change{{ID: "ok", Was: verdict.Pass, Is: verdict.Pass}, {ID: hostile, Was: verdict.Pass, Is: verdict.Fail, From: "80ms", To: "1.2s"}, {ID: "added", Is: verdict.Pass}},
		Measures: []verdict.Measure{
			{Phase: "fault", Name: "depth", Effect: verdict.Unclear, Why: "3 slices, 8 are needed"},
			{Phase: "fault", Name: "checkout ok", Unit: "share", From: 1, To: 1, Effect: verdict.Same},
			{Phase: "fault", Name: "checkout median", Unit: "seconds", From: 0.02, To: 0.04, Relative: true, Change: 2, Interval: verdict.Interval{Low: 1.4, High: 2.6}, Effect: verdict.Worse},
		},
	}
	var out bytes.Buffer
	require.NoError(t, CompareHTML(&out, []Input{a}, []Input{b}, d))
	root := selfContained(t, out.String())
	text := words(root)
	for _, w := range []string{
		"Against A, run B broke 1 assertion that held; of 2 measures 1 are worse, 0 better, 0 different, 1 the same and 0 unclear", "The plans differ",
		"✗ worse fault checkout median 20 ms 40 ms 2.00 times (1.40 to 2.60)", "1 measure without a comparison: 3 slices, 8 are needed",
	} {
		assert.Contains(t, text, w)
	}
	assert.Less(t, strings.Index(text, "80ms 1.2s"), strings.Index(text, "added"), "what broke comes first")
	assert.Less(t, strings.Index(text, "checkout median"), strings.LastIndex(text, "checkout ok"), "what is worse comes first")
	paths := elements(elements(root, "svg")[0], "path")
	assert.Len(t, paths, 8, "two lines in each of four lanes")
}

func TestDifferenceOverRepeats(t *testing.T) {
	a, b := plot.input(t), plot.input(t)
	d := verdict.Difference{
		Band: 0.1, Runs: [2]int{3, 3},
		Assertions: []verdict.Change{
			{ID: "gone", Was: verdict.Pass, Is: verdict.Fail, From: "80ms", To: "1.2s", Kept: &verdict.Kept{Held: [2]int{3, 0}, Runs: [2]int{3, 3}, P: 0.1, Needed: 5}},
			{ID: "sure", Was: verdict.Pass, Is: verdict.Fail, Kept: &verdict.Kept{Held: [2]int{9, 0}, Runs: [2]int{9, 9}, P: 0.0004, Sure: true}},
			{ID: "shaky", Was: verdict.Pass, Is: verdict.Fail, Kept: &verdict.Kept{Held: [2]int{9, 8}, Runs: [2]int{9, 9}, P: 1}},
			{ID: "steady", Was: verdict.Pass, Is: verdict.Pass, Kept: &verdict.Kept{Held: [2]int{3, 3}, Runs: [2]int{3, 3}, P: 1, Needed: 5}},
		},
		Measures: []verdict.Measure{
			{Phase: "fault", Name: "checkout median", Unit: "seconds", From: 0.02, To: 0.04, Relative: true, Change: 2, Interval: verdict.Interval{Low: 1.4, High: 2.6}, Effect: verdict.Worse,
				FromRuns: []float64{0.019, 0.02, 0.021}, ToRuns: []float64{0.038, 0.04, 0.042}},
			{Phase: "fault", Name: "lag", Unit: "seconds", From: 1, To: 2, Relative: true, Change: 2, Interval: verdict.Interval{Low: 0.01, High: 400}, Effect: verdict.Unclear, FromRuns: []float64{0.1, 1, 10}, ToRuns: []float64{0.2, 2, 20}},
			{Phase: "recovery", Name: "depth", Effect: verdict.Unclear, Why: "too few repeats: 3 and 2 with enough data, 3 each are needed"},
		},
	}
	require.Equal(t, []bool{true, true, false, false}, []bool{d.Assertions[0].Worse(), d.Assertions[1].Worse(), d.Assertions[2].Worse(), d.Assertions[3].Worse()})
	var out bytes.Buffer
	row := RowOf(a)
	row.Dir = "out/psp-slow"
	require.NoError(t, DifferenceText(&out, Compared{A: []Row{row, row, row}, B: []Row{row, row, row}, Difference: d}, false))
	golden(t, "difference-repeats.txt", out.String())

	out.Reset()
	require.NoError(t, CompareHTML(&out, []Input{a, a, a}, []Input{b, b, b}, d))
	root := selfContained(t, out.String())
	text := words(root)
	for _, w := range []string{
		"Against A, the 3 runs of B broke 2 assertions that held", "held in 3 of 3, then in 0 of 3 (p 0.1: too few repeats to exclude chance, 5 each could)",
		"held in 9 of 9, then in 0 of 9 (p 0.0004: more than chance)", "held in 9 of 9, then in 8 of 9 (p 1: may be chance)",
		"2.00 times, not known to within a factor of 100", "held in 3 of 3, then in 3 of 3", "count what differs between 3 and 3 runs as chance", "1 measure without a comparison: too few repeats",
	} {
		assert.Contains(t, text, w)
	}
	assert.Len(t, elements(elements(root, "svg")[0], "path"), 24, "a line for each run in each of four lanes")
	assert.Len(t, elements(root, "circle"), 12, "a dot for each run of a measure")
}
