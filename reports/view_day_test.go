package reports

import (
	"strings"
	"testing"
	"time"

	xansi "github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func TestDayViewTellsWhereTheDayIs(t *testing.T) {
	day := &spec.GameDay{Spec: spec.GameDaySpec{Steps: []spec.DayStep{
		{ID: "ready", Wait: "Is everybody there?"},
		{ID: "away", Title: "Back is killed.", Fault: &spec.DayFault{}, For: spec.Duration(time.Minute)},
	}}}
	step := func(t time.Duration, id string, state record.StepState) record.StepEvent {
		return record.StepEvent{T: t * time.Second, Step: record.Step{ID: id, State: state}}
	}
	run := &record.Run{Header: record.Header{Scenario: "small-day", Title: "A day"}}
	shows := func(elapsed time.Duration, want ...string) {
		t.Helper()
		assert.Equal(t, strings.Join(want, "\n"), DayView(run, day, elapsed*time.Second, 120, false))
	}
	shows(0, "small-day  A day  0:00", "starting the system")
	run.Phases = []record.Span{{Name: "baseline", Open: true}}
	shows(4, "small-day  A day  0:04", "steady state is measured; nothing is injected before")
	run.Steps = append(run.Steps, step(10, "ready", record.StepBegun))
	shows(75, "small-day  A day  1:15", "ready  1:05  Is everybody there?  (1 of 2, next: away)")
	run.Steps = append(run.Steps, step(80, "ready", record.StepDone))
	shows(80, "small-day  A day  1:20", "✓ ready done")
	run.Steps = append(run.Steps, step(80, "away", record.StepBegun))
	watch := func(id, group, state, measured string) {
		run.Watches = append(run.Watches, record.WatchEvent{Watch: record.Watch{ID: id, Group: group, State: state, Bound: "at least 1", Measured: measured}})
	}
	watch("up", "guardrail", "kept", "2")
	watch("calls", "signal", "crossed", "0")
	watch("up", "guardrail", "unclear", "no data")
	run.Faults = []record.FaultEvent{{Fault: record.Fault{ID: "away", Kind: "proc-kill", On: "back", State: record.FaultInjected}},
		{Fault: record.Fault{ID: "away", Kind: "proc-kill", On: "back", State: record.FaultBiting, Receipt: &record.Receipt{Hits: 2, Unit: "processes"}}}}
	shows(100, "small-day  A day  1:40", "away  0:40 left  Back is killed.  (2 of 2, the last step)",
		"? guardrail up  no data  kept is at least 1", "✗ signal calls  0  kept is at least 1", "⚡ away biting  proc-kill on back, 2 processes")
}

func TestDayViewFitsAndSteersNothing(t *testing.T) {
	run := &record.Run{
		Header:  record.Header{Scenario: hostile, Title: hostile},
		Steps:   []record.StepEvent{{Step: record.Step{ID: hostile, State: record.StepBegun}}},
		Watches: []record.WatchEvent{{Watch: record.Watch{ID: hostile, Group: hostile, State: hostile, Bound: hostile, Measured: hostile}}},
	}
	day := &spec.GameDay{Spec: spec.GameDaySpec{Steps: []spec.DayStep{{ID: hostile, Wait: hostile}}}}
	for _, width := range []int{0, 40, 200} {
		text := DayView(run, day, time.Second, width, false)
		noControl(t, text)
		for line := range strings.Lines(text) {
			assert.Less(t, xansi.StringWidth(strings.TrimSuffix(line, "\n")), max(width, 20))
		}
	}
}
