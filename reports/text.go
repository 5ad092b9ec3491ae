package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

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
		paint(fmt.Sprintf("%s %s", marks[word], strings.ToUpper(word)), word, o.Color) + "  " + in.Run.Header.Scenario + ": " + title(in.Run.Header),
		"  " + in.Result.Sentence,
	}
	tail := []string{
		"  assertions  " + tally(assertions(in.Result)),
		"  report      " + o.ReportPath,
		"  again       " + in.Run.Header.Rerun,
	}
	lines = append(lines, bounded(broken(in, o.Color), finalLines-len(lines)-len(tail))...)
	for _, l := range append(lines, tail...) {
		fmt.Fprintln(w, l)
	}
}

// broken lists what could not be restored, and every finding that is not a pass.
func broken(in Input, color bool) (lines []string) {
	for _, d := range in.Result.Dirty {
		lines = append(lines, "  "+paint(marks["dirty"]+" not restored: "+d, "dirty", color))
	}
	for _, f := range sorted(in.Result, "expect", "steady", "guardrail", "evidence") {
		if f.Verdict == verdict.Pass {
			continue
		}
		mark := paint(marks[string(f.Verdict)], string(f.Verdict), color)
		line := fmt.Sprintf("  %s %s: %s", mark, f.ID, f.Why)
		if f.Expected != "" && f.Measured != "" {
			line = fmt.Sprintf("  %s %s: expected %s, measured %s", mark, f.ID, f.Expected, f.Measured)
		}
		if p := place(f); p != "" {
			line += "  (" + p + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func bounded(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	rest := len(lines) - most + 1
	return append(lines[:most-1:most-1], fmt.Sprintf("  ... and %d more in the report", rest))
}

// Summary writes one line per run of a suite.
func Summary(w io.Writer, rows []Row, color bool) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		word := Word(r.Result)
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\n", marks[word], word, r.Name, seconds(duration(r.Run)), r.Result.Sentence)
	}
	t.Flush()
	_ = color // the marks say it; tabwriter cannot align colours
}

// Event is one line for one entry of the main stream; empty for what is no event.
func Event(e record.Entry, color bool) string {
	what := describe(e, color)
	if what == "" {
		return ""
	}
	return fmt.Sprintf("%7.1fs  %s", e.T.Seconds(), what)
}

func describe(e record.Entry, color bool) string {
	switch e.Type {
	case record.TypeHeader:
		h := payload[record.Header](e)
		return fmt.Sprintf("%s: %s (seed %d)", h.Scenario, title(h), h.Seed)
	case record.TypePhase:
		if p := payload[record.Phase](e); p.Event == "start" {
			return "phase    " + p.Name
		}
	case record.TypeFault:
		return describeFault(payload[record.Fault](e), color)
	case record.TypeProcess:
		return describeProcess(payload[record.Process](e))
	case record.TypeLoad:
		l := payload[record.Load](e)
		if l.Event == "flowing" {
			return fmt.Sprintf("load     %g iterations/s flowing", l.Arrival)
		}
		if l.Error != "" {
			return "load     " + l.Error
		}
	case record.TypeNote:
		n := payload[record.Note](e)
		return "note     " + n.Text
	case record.TypeEnd:
		end := payload[record.End](e)
		return strings.TrimSuffix("end      "+end.Reason+": "+end.Error, ": ")
	}
	return ""
}

func describeFault(f record.Fault, color bool) string {
	line := fmt.Sprintf("fault    %s %s", f.ID, f.State)
	switch f.State {
	case record.FaultIntent:
		return ""
	case record.FaultInjected:
		line += fmt.Sprintf(": %s %s on %s", f.Kind, f.Detail, f.On)
	case record.FaultReverted:
		if f.Receipt != nil {
			line += fmt.Sprintf(": %d %s affected", f.Receipt.Hits, f.Receipt.Unit)
		}
	case record.FaultFailed:
		return paint(line+": "+f.Error, "error", color)
	}
	return line
}

// describeProcess leaves the routine of boot and end to the report.
func describeProcess(p record.Process) string {
	switch p.Event {
	case "started", "ready", "stopped":
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("process  %s %s %s", p.Service, p.Event, p.Detail))
}

func payload[T any](e record.Entry) T {
	var v T
	_ = json.Unmarshal(e.Data, &v) // written by us; a later format shows as zero values
	return v
}

// Status is the live line: phase, time, and how the last second went.
func Status(run *record.Run, elapsed time.Duration) string {
	phase := "starting"
	if n := len(run.Phases); n > 0 {
		phase = run.Phases[n-1].Name
	}
	ok, all := 0, 0
	for i := len(run.Operations) - 1; i >= 0; i-- {
		op := run.Operations[i]
		if elapsed-run.T(op.At) > 2*time.Second {
			break
		}
		all++
		if op.Outcome == record.OK {
			ok++
		}
	}
	if all == 0 {
		return fmt.Sprintf("%7.1fs  %s", elapsed.Seconds(), phase)
	}
	return fmt.Sprintf("%7.1fs  %s  %d%% of %d operations ok in the last 2 s", elapsed.Seconds(), phase, 100*ok/all, all)
}
