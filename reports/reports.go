// Package reports renders a judged run, one format a file. Every format is a
// reader of the record and the result; none knows anything the others do not.
package reports

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// Input is one judged run.
type Input struct {
	Run      *record.Run
	Result   verdict.Result
	Scenario *spec.Scenario
	System   *spec.System
}

// Row is one run of a suite.
type Row struct {
	Name   string
	Dir    string
	Run    *record.Run
	Result verdict.Result
}

// Word is the verdict as shown: dirty outranks all.
func Word(r verdict.Result) string {
	if len(r.Dirty) > 0 {
		return "dirty"
	}
	return string(r.Verdict)
}

// marks tell verdicts apart without colour.
var marks = map[string]string{
	"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!", "aborted": "■", "skipped": "–", "dirty": "☣",
}

// severity sorts what needs attention first.
var severity = []string{"dirty", "error", "fail", "aborted", "inconclusive", "skipped", "pass"}

// sorted returns the findings of some groups, worst first, else in file order.
func sorted(res verdict.Result, groups ...string) []verdict.Finding {
	var out []verdict.Finding
	for _, f := range res.Findings {
		if slices.Contains(groups, f.Group) {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b verdict.Finding) int {
		return slices.Index(severity, string(a.Verdict)) - slices.Index(severity, string(b.Verdict))
	})
	return out
}

// assertions are what the scenario asked for; evidence is what the laws ask for.
func assertions(res verdict.Result) []verdict.Finding {
	return sorted(res, "expect", "steady", "guardrail")
}

func evidence(res verdict.Result) []verdict.Finding { return sorted(res, "evidence") }

// place is file:line of a finding.
func place(f verdict.Finding) string {
	if f.Pos.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", f.Pos.File, f.Pos.Line)
}

// seconds prints an instant of the run.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// title is the scenario's title, or its name.
func title(h record.Header) string {
	if h.Title != "" {
		return h.Title
	}
	return h.Scenario
}

// escapes are the terminal sequences that set colours and move the cursor.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// printable drops what is not text: terminal sequences, control characters
// except newline and tab, and marks that turn the direction of what follows.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		turns := (r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069')
		if turns || (unicode.IsControl(r) && r != '\n' && r != '\t') {
			return -1
		}
		return r
	}, escapes.ReplaceAllString(s, ""))
}

// plain is printable text on one line. Whatever comes from files, processes or
// the network goes through it before a terminal sees it.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, printable(s))
}

// folder is the run's folder as seen from the suite's index.
func folder(dir string) string { return filepath.Base(dir) }

// tally counts findings by verdict, worst first: "1 fail, 4 pass".
func tally(fs []verdict.Finding) string {
	var parts []string
	for _, v := range severity {
		n := 0
		for _, f := range fs {
			if string(f.Verdict) == v {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return strings.Join(parts, ", ")
}
