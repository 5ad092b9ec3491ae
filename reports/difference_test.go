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
		Band: 0.1,
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
	require.NoError(t, DifferenceText(&out, Compared{A: a, B: b, Difference: d}, false))
	golden(t, "difference.txt", out.String())
	b.Header.Run, d.Assertions[0].ID = hostile, hostile
	out.Reset()
	require.NoError(t, DifferenceText(&out, Compared{A: a, B: b, Difference: d}, false))
	noControl(t, out.String())
}

func TestComparePage(t *testing.T) {
	a, b := plot.input(t), plot.input(t)
	b.Run.Header.Run, b.Run.Header.PlanHash = hostile, "another"
	d := verdict.Difference{
		Band:       0.1,
		Assertions: []verdict.Change{{ID: "ok", Was: verdict.Pass, Is: verdict.Pass}, {ID: hostile, Was: verdict.Pass, Is: verdict.Fail, From: "80ms", To: "1.2s"}, {ID: "added", Is: verdict.Pass}},
		Measures: []verdict.Measure{
			{Phase: "fault", Name: "depth", Effect: verdict.Unclear, Why: "3 slices, 8 are needed"},
			{Phase: "fault", Name: "checkout ok", Unit: "share", From: 1, To: 1, Effect: verdict.Same},
			{Phase: "fault", Name: "checkout median", Unit: "seconds", From: 0.02, To: 0.04, Relative: true, Change: 2, Interval: verdict.Interval{Low: 1.4, High: 2.6}, Effect: verdict.Worse},
		},
	}
	var out bytes.Buffer
	require.NoError(t, CompareHTML(&out, a, b, d))
	root := selfContained(t, out.String())
	text := words(root)
	for _, w := range []string{
		"Against A, run B broke 1 assertion that held; of 2 measures 1 are worse, 0 better, 0 different, 1 the same and 0 unclear", "The plans differ",
		"✗ worse fault checkout median 20 ms 40 ms 2.00 times (1.40 to 2.60)", "Of 1 more measures there was too little",
	} {
		assert.Contains(t, text, w)
	}
	assert.Less(t, strings.Index(text, "80ms 1.2s"), strings.Index(text, "added"), "what broke comes first")
	assert.Less(t, strings.Index(text, "checkout median"), strings.LastIndex(text, "checkout ok"), "what is worse comes first")
	paths := elements(elements(root, "svg")[0], "path")
	assert.Len(t, paths, 8, "two lines in each of four lanes")
}
