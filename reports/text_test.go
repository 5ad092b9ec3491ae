package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

func final(in Input, color bool) string {
	var b bytes.Buffer
	Final(&b, in, TextOptions{Color: color, ReportPath: "out/latest/psp-slow/report.html"})
	return b.String()
}

func TestFinalGolden(t *testing.T) {
	in := plot.input(t)
	golden(t, "final.txt", final(in, false))
	in.Result.Dirty = []string{"link payments -> psp still has a stage"}
	golden(t, "final-dirty.txt", final(in, true))
}

func TestFinalStaysWithinItsLines(t *testing.T) {
	in := plot.input(t)
	for i := range 40 {
		in.Result.Findings = append(in.Result.Findings, verdict.Finding{ID: fmt.Sprint("x", i), Group: "expect", Verdict: verdict.Fail, Why: "two\nlines"})
		in.Result.Dirty = append(in.Result.Dirty, "a\nb")
	}
	in.Result.Sentence = "fail:\nseveral\nlines"
	got := final(in, false)
	assert.Equal(t, finalLines, strings.Count(got, "\n"))
	assert.Contains(t, got, "more in the report")
	assert.Contains(t, got, "again       squall run --seed 7", "the rerun command is never cut")
}

func TestFinalColoursOnlyIfAsked(t *testing.T) {
	in := plot.input(t)
	assert.NotContains(t, final(in, false), "\x1b")
	assert.Contains(t, final(in, true), "\x1b[31m✗ FAIL\x1b[0m")
}

func TestEventGolden(t *testing.T) {
	var b strings.Builder
	for _, e := range plot.run(t).Entries {
		if line := Event(e, false); line != "" {
			fmt.Fprintln(&b, line)
		}
	}
	golden(t, "events.txt", b.String())
}

func TestEventColoursFailures(t *testing.T) {
	data, err := json.Marshal(record.Fault{ID: "slow", State: record.FaultFailed, Error: "revert: refused"})
	require.NoError(t, err)
	e := record.Entry{T: 4 * time.Second, Type: record.TypeFault, Data: data}
	assert.Equal(t, "    4.0s  \x1b[31mfault    slow failed: revert: refused\x1b[0m", Event(e, true))
	assert.Equal(t, "    4.0s  fault    slow failed: revert: refused", Event(e, false))
}

func TestTerminalIsNotSteeredByTheRecord(t *testing.T) {
	s := plot
	s.name = hostile
	in := s.input(t)
	in.Result.Dirty = []string{hostile}
	noControl(t, final(in, false))
	assert.LessOrEqual(t, strings.Count(final(in, false), "\n"), finalLines)
	for _, e := range in.Run.Entries {
		line := Event(e, false)
		noControl(t, line)
		assert.NotContains(t, line, "\n")
	}
	var b bytes.Buffer
	Summary(&b, []Row{{Name: "a" + hostile, Run: in.Run, Result: in.Result}}, false)
	noControl(t, b.String())
	assert.Equal(t, 2, strings.Count(b.String(), "\n"), "a blank line and one per run")
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"as it is: 3s ± 200ms ✓":       "as it is: 3s ± 200ms ✓",
		"\x1b[1;31mred\x1b[0m":         "red",
		"\x1b]0;title\x07":             "]0;title",
		"a\nb\tc\rd":                   "a b cd",
		"\u009b31mC1":                  "31mC1",
		"over\u202eturned\u2066x":      "overturnedx",
		"line\u2028paragraph\u2029end": "line paragraph end",
		"broken \xff":                  "broken \ufffd",
	} {
		assert.Equal(t, want, plain(in), "%q", in)
	}
}

func rows(t *testing.T) []Row {
	fail := plot.input(t)
	pass := fail
	pass.Result = verdict.Result{Verdict: verdict.Pass, Sentence: "pass: it held"}
	long := fail
	long.Result = verdict.Result{Verdict: verdict.Inconclusive, Sentence: "inconclusive: " + strings.Repeat("ärger ", 50)}
	return []Row{
		{Name: "psp-slow", Dir: "out/s/psp-slow", Run: pass.Run, Result: pass.Result},
		{Name: "orchestrator-killed", Dir: "out/s/orchestrator-killed", Run: fail.Run, Result: fail.Result},
		{Name: "x", Dir: "out/s/x", Run: long.Run, Result: long.Result},
	}
}

func TestSummary(t *testing.T) {
	var plainly, coloured bytes.Buffer
	rs := rows(t)
	Summary(&plainly, rs, false)
	golden(t, "summary.txt", plainly.String())

	Summary(&coloured, rs, true)
	assert.Contains(t, coloured.String(), "\x1b[31m✗ fail")
	assert.Equal(t, plainly.String(), escapes.ReplaceAllString(coloured.String(), ""), "colours do not move the columns")
	for _, r := range rs {
		assert.LessOrEqual(t, utf8.RuneCountInString(brief(r)), 100)
	}
}

func TestStatus(t *testing.T) {
	run := plot.run(t)
	assert.Equal(t, "   27.2s  settle  100% of 36 operations ok in the last 2 s", Status(run, 27200*time.Millisecond))
	assert.Equal(t, "    0.0s  starting", Status(&record.Run{}, 0))
}

func TestStatusCountsSlowOperations(t *testing.T) {
	run := &record.Run{Operations: []record.Operation{{At: int64(time.Second), Dur: int64(8 * time.Second), Outcome: record.OK}}}
	run.Header.Started = time.Unix(0, 0)
	assert.Equal(t, "   10.0s  starting  100% of 1 operations ok in the last 2 s", Status(run, 10*time.Second), "it began long ago, but ended just now")
}
