package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"squall/runner/record"
	"squall/runner/verdict"
)

// TextOptions of the final block.
type TextOptions struct {
	Color      bool
	ReportPath string
}

// Colours of the terminal (ANSI); each also has a mark and a word.
var ansi = map[string]string{
	"pass": "32", "fail": "31", "error": "31", "dirty": "35", "aborted": "33", "inconclusive": "33", "skipped": "90",
}

func paint(text, word string, on bool) string {
	if !on || ansi[word] == "" {
		return text
	}
	return "\x1b[" + ansi[word] + "m" + text + "\x1b[0m"
}

// finalLines bounds the final block.
const finalLines = 15

// Final writes the final block of one run: verdict, what broke, report, rerun.
func Final(w io.Writer, in Input, o TextOptions) {
	word := Word(in.Result)
	lines := []string{
		"",
		paint(fmt.Sprintf("%s %s", marks[word], strings.ToUpper(word)), word, o.Color) + "  " + plain(in.Run.Header.Scenario+": "+title(in.Run.Header)),
		"  " + plain(in.Result.Sentence),
	}
	tail := []string{
		"  assertions  " + tally(assertions(in.Result)),
		"  report      " + plain(o.ReportPath),
		"  again       " + plain(in.Run.Header.Rerun),
	}
	lines = append(lines, bounded(broken(in, o.Color), finalLines-len(lines)-len(tail))...)
	for _, l := range append(lines, tail...) {
		fmt.Fprintln(w, l)
	}
}

// broken lists what could not be restored, and every finding that is not a pass.
func broken(in Input, color bool) (lines []string) {
	for _, d := range in.Result.Dirty {
		lines = append(lines, "  "+paint(marks["dirty"]+" not restored: "+plain(d), "dirty", color))
	}
	for _, f := range sorted(in.Result, "expect", "steady", "guardrail", "evidence") {
		if f.Verdict != verdict.Pass {
			lines = append(lines, "  "+paint(marks[string(f.Verdict)], string(f.Verdict), color)+" "+plain(inShort(f)))
		}
	}
	return lines
}

// inShort is a finding in one line: what was expected, what was measured, where
// it is written.
func inShort(f verdict.Finding) string {
	line := f.ID + ": " + f.Why
	if f.Expected != "" && f.Measured != "" {
		line = fmt.Sprintf("%s: expected %s, measured %s", f.ID, f.Expected, f.Measured)
	}
	if p := place(f); p != "" {
		line += "  (" + p + ")"
	}
	return line
}

func bounded(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	rest := len(lines) - most + 1
	return append(lines[:most-1:most-1], fmt.Sprintf("  ... and %d more in the report", rest))
}

// Summary writes one line per scenario of a suite in aligned columns, and below
// it one per run where there are several.
func Summary(w io.Writer, all []Scenario, color bool) {
	fmt.Fprintln(w)
	var lines []summaryLine
	for _, s := range all {
		lines = append(lines, lineOf(s.Name(), s.Result, s.length(), s.Runs[0].Header, len(s.Runs)))
		if len(s.Runs) > 1 {
			for _, r := range s.Runs {
				lines = append(lines, lineOf("  "+r.Folder(), r.Result, r.Length, r.Header, 1))
			}
		}
	}
	var widths [3]int
	for _, l := range lines {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(l.cells[i]))
		}
	}
	for _, l := range lines {
		verdict := paint(pad(l.cells[0], widths[0]), l.word, color) // padded first: colours have no width
		fmt.Fprintf(w, "%s  %s  %*s  %s\n", verdict, pad(l.cells[1], widths[1]), widths[2], l.cells[2], l.cells[3])
	}
}

type summaryLine struct {
	word  string
	cells [4]string
}

func lineOf(name string, res verdict.Result, length time.Duration, h record.Header, runs int) summaryLine {
	word := Word(res)
	text := brief(res, h)
	if runs > 1 {
		text = shorten(fmt.Sprintf("%d runs: %s", runs, text), briefLength)
	}
	return summaryLine{word, [4]string{marks[word] + " " + word, plain(name), seconds(length), text}}
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// briefLength bounds the text of a summary line, in runes.
const briefLength = 100

// brief is the sentence of a run without the word that stands before it, or
// the title of a run that passed.
func brief(res verdict.Result, h record.Header) string {
	s := strings.TrimPrefix(res.Sentence, string(res.Verdict)+": ")
	if res.Verdict == verdict.Pass && len(res.Dirty) == 0 {
		s = title(h)
	}
	return shorten(plain(s), briefLength)
}

// Event is one line for one entry of the main stream; empty for what is no event.
func Event(e record.Entry, color bool) string {
	what, word := describe(e)
	if what == "" {
		return ""
	}
	return fmt.Sprintf("%7.1fs  %s", e.T.Seconds(), paint(plain(what), word, color))
}

// describe returns the text of an event and the verdict whose colour it has.
func describe(e record.Entry) (text, word string) {
	switch e.Type {
	case record.TypeHeader:
		h := payload[record.Header](e)
		return fmt.Sprintf("%s: %s (seed %d)", h.Scenario, title(h), h.Seed), ""
	case record.TypePhase:
		if p := payload[record.Phase](e); p.Event == "start" {
			return "phase    " + p.Name, ""
		}
	case record.TypeFault:
		return describeFault(payload[record.Fault](e))
	case record.TypeProcess:
		return describeProcess(payload[record.Process](e)), ""
	case record.TypeLoad:
		l := payload[record.Load](e)
		if l.Error != "" {
			return "load     " + l.Error, "error"
		}
		if l.Event == "flowing" {
			text := fmt.Sprintf("load     %g iterations/s flowing", l.Arrival)
			if n := len(l.Stages); n > 0 {
				text += fmt.Sprintf(", to change %d times", n)
			}
			return text, ""
		}
	case record.TypeStep:
		return describeStep(payload[record.Step](e))
	case record.TypeMark:
		return describeMark(payload[record.Mark](e)), ""
	case record.TypeNote:
		n := payload[record.Note](e)
		levels := map[string]string{"warn": "inconclusive", "error": "error"}
		if n.Author != "" && n.Author != "squall" {
			n.Text = n.Author + ": " + n.Text
		}
		return "note     " + n.Text, levels[n.Level]
	case record.TypeEnd:
		end := payload[record.End](e)
		return strings.TrimSuffix("end      "+end.Reason+": "+end.Error, ": "), ""
	}
	return "", ""
}

func describeMark(m record.Mark) string {
	text := m.What
	switch {
	case m.N > 0:
		text = fmt.Sprintf("did %d of playbook %s: %s", m.N, m.On, m.Text)
	case m.On != "":
		text = fmt.Sprintf("%s %s: %s", m.What, m.On, m.Text)
	case m.Text != "":
		text += ": " + m.Text
	}
	if m.Author != "" {
		text = m.Author + ": " + text
	}
	return "mark     " + text
}

func describeStep(s record.Step) (text, word string) {
	switch s.State {
	case record.StepBegun:
		return fmt.Sprintf("step     %s: %s", s.ID, s.Does), ""
	case record.StepFailed:
		return fmt.Sprintf("step     %s failed: %s", s.ID, s.Error), "error"
	}
	return fmt.Sprintf("step     %s %s", s.ID, s.State), ""
}

func describeFault(f record.Fault) (text, word string) {
	line := fmt.Sprintf("fault    %s %s", f.ID, f.State)
	switch f.State {
	case record.FaultIntent:
		return "", ""
	case record.FaultInjected:
		line += ": " + standing{Fault: f}.What()
	case record.FaultReverted:
		if f.Receipt != nil {
			line += fmt.Sprintf(": %s affected", f.Receipt)
		}
	case record.FaultFailed:
		return line + ": " + f.Error, "error"
	}
	return line, ""
}

// describeProcess leaves the routine of boot and end to the report.
func describeProcess(p record.Process) string {
	if slices.Contains([]string{"started", "ready", "stopped"}, p.Event) {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("process  %s %s %s", p.Service, p.Event, p.Detail))
}

func payload[T any](e record.Entry) T {
	var v T
	_ = json.Unmarshal(e.Data, &v) // written by us; a later format shows as zero values
	return v
}
