package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	xansi "github.com/charmbracelet/x/ansi"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// statusSpan is how far the live figures look back.
const statusSpan = 2 * time.Second

// Bounds of the live view: lines of faults and of processes, and seconds of the
// little chart.
const (
	viewFaults    = 6
	viewProcesses = 4
	viewSeconds   = 30
)

// View is what a terminal shows of a run that goes on: phases, how it goes, and
// what is broken on purpose. Every line fits the width.
func View(run *record.Run, phases spec.Phases, elapsed time.Duration, width int, color bool) string {
	width = max(width, 20)
	lines := []string{
		bold(color, plain(run.Header.Scenario)) + "  " + plain(title(run.Header)) + fmt.Sprintf("  %.0f s", elapsed.Seconds()),
		phaseLine(run, phases, elapsed, color),
		trafficLine(run, elapsed, color),
	}
	faults := standings(run)
	for _, f := range faults[:min(len(faults), viewFaults)] {
		if f.Injected != "" {
			lines = append(lines, faultLine(f, color))
		}
	}
	lines = append(lines, processLines(run, color)...)
	for i := range lines {
		lines[i] = xansi.Truncate(lines[i], width-1, "…")
	}
	return strings.Join(lines, "\n")
}

func bold(on bool, text string) string {
	if !on {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

// phaseLine has a bar for the phase that goes on and a mark for those before it.
func phaseLine(run *record.Run, phases spec.Phases, elapsed time.Duration, color bool) string {
	if len(run.Phases) == 0 {
		return "starting the system"
	}
	planned := map[string]time.Duration{
		"baseline": time.Duration(phases.Baseline), "fault": time.Duration(phases.Fault), "recovery": time.Duration(phases.Recovery),
	}
	var parts []string
	for _, p := range run.Phases {
		if !p.Open {
			parts = append(parts, paint(marks["pass"], "pass", color)+" "+plain(p.Name))
			continue
		}
		in, of := max(0, elapsed-p.From), planned[p.Name]
		text := fmt.Sprintf("%s %.0f s", bold(color, plain(p.Name)), in.Seconds())
		if of > 0 {
			const cells = 20
			done := min(cells, int(cells*in/of))
			text = fmt.Sprintf("%s %s%s %.0f of %.0f s", bold(color, plain(p.Name)), strings.Repeat("━", done), strings.Repeat("╌", cells-done), in.Seconds(), of.Seconds())
		}
		parts = append(parts, text)
	}
	last := run.Phases[len(run.Phases)-1].Name
	for _, name := range judgedPhases[slices.Index(judgedPhases, last)+1:] {
		if _, begun := run.Phase(name); !begun && run.End == nil && last != "settle" {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, "  ")
}

// trafficLine is how the last seconds went, and how every second did before.
func trafficLine(run *record.Run, elapsed time.Duration, color bool) string {
	var last bucket
	var good []float64
	var seconds [viewSeconds]bucket
	for _, op := range slices.Backward(run.Operations) { // in the order in which they ended
		ago := elapsed - run.T(op.At+op.Dur)
		if ago >= viewSeconds*time.Second {
			break
		}
		if ago < 0 {
			continue
		}
		seconds[viewSeconds-1-int(ago/time.Second)].count(op.Outcome)
		if ago <= statusSpan {
			last.count(op.Outcome)
			if op.Outcome == record.OK {
				good = append(good, time.Duration(op.Dur).Seconds())
			}
		}
	}
	if last.all() == 0 {
		return "no operations in the last 2 s"
	}
	slices.Sort(good)
	ok, word := share(last.OK, last.all()), "pass"
	switch {
	case ok < 0.95:
		word = "fail"
	case ok < 1:
		word = "inconclusive"
	}
	return fmt.Sprintf("%s of %.0f/s ok  %d failed  %d unknown  95th %s  %s", paint(percent(ok), word, color), float64(last.all())/statusSpan.Seconds(),
		last.Failed, last.Unknown, latency(quantile(good, 0.95)), bars(seconds[:]))
}

// bars draws the share of ok operations second by second.
func bars(seconds []bucket) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, s := range seconds {
		if s.all() > 0 {
			b.WriteRune(levels[int(share(s.OK, s.all())*float64(len(levels)-1)+0.5)])
		}
	}
	return b.String()
}

func faultLine(f standing, color bool) string {
	word := map[record.FaultState]string{record.FaultFailed: "error", record.FaultGone: "pass"}[f.State]
	if word == "" {
		word = "fail"
	}
	return paint("⚡ "+plain(f.ID)+" "+string(f.State), word, color) + "  " + plain(f.What()+", "+f.Hit())
}

// processLines are the processes that are not as they should be.
func processLines(run *record.Run, color bool) (lines []string) {
	last := map[string]string{}
	var order []string
	for _, p := range run.Processes {
		if last[p.Service] == "" {
			order = append(order, p.Service)
		}
		last[p.Service] = p.Event
	}
	for _, service := range order {
		if s := processStates[last[service]]; (s == dead || s == paused) && last[service] != "stopped" && len(lines) < viewProcesses {
			lines = append(lines, paint(marks["fail"]+" "+plain(service)+" "+last[service], "fail", color))
		}
	}
	return lines
}
