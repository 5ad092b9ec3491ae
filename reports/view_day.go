package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	xansi "github.com/charmbracelet/x/ansi"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// DayView is what a terminal shows of a game day that goes on: the step with its
// countdown and what comes next, how guardrails and signals stand, and what is
// broken on purpose. Every line fits the width.
func DayView(run *record.Run, day *spec.GameDay, elapsed time.Duration, width int, color bool) string {
	lines := []string{
		bold(color, plain(run.Header.Scenario)) + "  " + plain(title(run.Header)) + "  " + clock(elapsed),
		stepLine(run, day, elapsed, color),
	}
	if len(run.Operations) > 0 {
		lines = append(lines, trafficLine(run, elapsed, color))
	}
	lines = append(lines, watchLines(run, color)...)
	faults := standings(run)
	for _, f := range faults[max(0, len(faults)-viewFaults):] {
		if f.Injected != "" {
			lines = append(lines, faultLine(f, color))
		}
	}
	lines = append(lines, processLines(run, color)...)
	for i := range lines {
		lines[i] = xansi.Truncate(lines[i], max(width, 20)-1, "…")
	}
	return strings.Join(lines, "\n")
}

// clock is minutes and seconds.
func clock(d time.Duration) string {
	s := int(max(0, d).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// stepLine is where the day is.
func stepLine(run *record.Run, day *spec.GameDay, elapsed time.Duration, color bool) string {
	if len(run.Steps) == 0 {
		if len(run.Phases) == 0 {
			return "starting the system"
		}
		return "steady state is measured; nothing is injected before"
	}
	last := run.Steps[len(run.Steps)-1]
	i := slices.IndexFunc(day.Spec.Steps, func(s spec.DayStep) bool { return s.ID == last.ID })
	if i < 0 || last.State != record.StepBegun {
		return paint(marks["pass"], "pass", color) + " " + plain(last.ID) + " " + string(last.State)
	}
	s := day.Spec.Steps[i]
	left := clock(elapsed - last.T)
	if longest := s.Length(); longest > 0 {
		left = clock(last.T+longest-elapsed) + " left"
	}
	next := "the last step"
	if i+1 < len(day.Spec.Steps) {
		next = "next: " + day.Spec.Steps[i+1].ID
	}
	return fmt.Sprintf("%s  %s  %s  (%d of %d, %s)", bold(color, plain(s.ID)), left, plain(cmp.Or(s.Wait, s.Title, s.Does())), i+1, len(day.Spec.Steps), plain(next))
}

// watchLines are guardrails and signals as they stood last.
func watchLines(run *record.Run, color bool) (lines []string) {
	words := map[string]string{"kept": "pass", "crossed": "fail"}
	last := map[string]record.Watch{}
	var order []string
	for _, w := range run.Watches {
		if _, known := last[w.ID]; !known {
			order = append(order, w.ID)
		}
		last[w.ID] = w.Watch
	}
	for _, id := range order {
		w := last[id]
		word := cmp.Or(words[w.State], "inconclusive")
		lines = append(lines, fmt.Sprintf("%s %s  %s  %s", paint(marks[word], word, color), plain(w.Group+" "+id), paint(plain(w.Measured), word, color), plain("kept is "+w.Bound)))
	}
	return lines
}
