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
	Run      *record.Run // its main stream at least, if there is a digest
	Digest   *Digest     // nil: made of the run
	Result   verdict.Result
	Scenario *spec.Scenario
	System   *spec.System

	thrift int // how often what there is much of was halved
}

// Row is one run of a suite: what is left of it once its record is closed.
type Row struct {
	Dir    string
	Header record.Header
	Length time.Duration
	Result verdict.Result
	Tags   []string
	faults []standing
}

// RowOf takes from a judged run what the pages of a suite show.
func RowOf(in Input) Row {
	r := Row{Dir: in.Run.Dir, Header: in.Run.Header, Length: in.Run.Last, Result: in.Result, faults: standings(in.Run)}
	if in.Scenario != nil {
		r.Tags = in.Scenario.Metadata.Tags
	}
	return r
}

// Word of the run.
func (r Row) Word() string { return Word(r.Result) }

// Folder of the run, as seen from the index.
func (r Row) Folder() string { return filepath.Base(r.Dir) }

// Link to its report.
func (r Row) Link() string { return r.Folder() + "/report.html" }

// Scenario is one scenario of a suite with all its runs.
type Scenario struct {
	Result verdict.Result // of all runs together
	Runs   []Row          // at least one
}

// Name of the scenario, with the defects it ran with.
func (s Scenario) Name() string { return s.Runs[0].Header.Run }

// length of all runs.
func (s Scenario) length() (sum time.Duration) {
	for _, r := range s.Runs {
		sum += r.Length
	}
	return sum
}

// alone is a scenario that ran once.
func alone(r Row) Scenario { return Scenario{Result: r.Result, Runs: []Row{r}} }

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
