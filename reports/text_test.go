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
	Summary(&b, []Scenario{alone(RowOf(in))}, false)
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

func suite(t *testing.T) []Scenario {
	in := plot.input(t)
	run := func(name string, res verdict.Result) Scenario {
		r := RowOf(in)
		r.Dir, r.Header.Run, r.Result = "out/s/"+name, name, res
		return alone(r)
	}
	return []Scenario{
		run("psp-slow", verdict.Result{Verdict: verdict.Pass, Sentence: "pass: it held"}),
		run("orchestrator-killed", in.Result),
		run("x", verdict.Result{Verdict: verdict.Inconclusive, Sentence: "inconclusive: " + strings.Repeat("ärger ", 50)}),
	}
}

// repeated is a scenario that failed once in three runs.
func repeated(t *testing.T) Scenario {
	pass := verdict.Result{Verdict: verdict.Pass, Sentence: "pass: it held"}
	fail := verdict.Result{Verdict: verdict.Fail, Sentence: "fail: charged-once: twice"}
	s := Scenario{Result: verdict.Result{Verdict: verdict.Fail, Sentence: "fail: charged-once: in 1 of 3 runs: twice", Findings: []verdict.Finding{
		{ID: "charged-once", Group: "expect", Verdict: verdict.Fail, Why: "in 1 of 3 runs: twice", Details: []string{"run 1: pass: once", "run 2: fail: twice", "run 3: pass: once"}},
	}}}
	for i, res := range []verdict.Result{pass, fail, pass} {
		r := RowOf(plot.input(t))
		r.Dir, r.Result = "out/s/psp-slow", res
		if i > 0 {
			r.Dir += fmt.Sprintf(".%d", i+1)
		}
		s.Runs = append(s.Runs, r)
	}
	return s
}

func TestSummary(t *testing.T) {
	var plainly, coloured bytes.Buffer
	all := append(suite(t), repeated(t))
	Summary(&plainly, all, false)
	golden(t, "summary.txt", plainly.String())

	Summary(&coloured, all, true)
	assert.Contains(t, coloured.String(), "\x1b[31m✗ fail")
	assert.Equal(t, plainly.String(), escapes.ReplaceAllString(coloured.String(), ""), "colours do not move the columns")
	for _, s := range all {
		assert.LessOrEqual(t, utf8.RuneCountInString(brief(s.Result, s.Runs[0].Header)), briefLength)
	}
}
