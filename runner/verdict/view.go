package verdict

import (
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// View is what a check may look at: the record so far, and its metrics.
type View struct {
	Run    *record.Run
	System *spec.System
	Now    time.Duration // newest instant of the record

	scenario *spec.Scenario

	metrics *querier
}

// Live reports whether the run has not ended.
func (v *View) Live() bool { return v.Run.End == nil }

// phase returns the window of a phase and whether it may still grow. A phase
// that has not begun is not found.
func (v *View) phase(name string) (w Window, open, found bool) {
	span, found := v.Run.Phase(name)
	if !found {
		return Window{}, v.Live(), false
	}
	w, open = Window{span.From, span.To}, span.Open
	if name == "run" && v.Live() {
		recovery, begun := v.Run.Phase("recovery")
		open = !begun || recovery.Open
	}
	if span.Open {
		w.To = max(w.To, v.Now)
	}
	return w, open && v.Live(), true
}

// planned is how long a phase lasts if nothing ends it early; negative for what
// is no phase of the plan.
func (v *View) planned(phase string) time.Duration {
	p := v.scenario.Spec.Phases
	switch phase {
	case "baseline":
		return time.Duration(p.Baseline)
	case "fault":
		return time.Duration(p.Fault)
	case "recovery":
		return time.Duration(p.Recovery)
	}
	return -1
}

// length of a window.
func (w Window) length() time.Duration { return w.To - w.From }

func (w Window) holds(t time.Duration) bool { return t >= w.From && t < w.To }

// newest is the latest instant the record knows of. The main stream may be
// silent for seconds while scrapes go on.
func newest(run *record.Run) time.Duration {
	now := run.Last
	if n := len(run.Scrapes); n > 0 {
		now = max(now, run.T(run.Scrapes[n-1].At))
	}
	return now
}

// firstState and lastState return the instant of a state of the faults that
// match: nothing matches nil differently from any fault.
func firstState(run *record.Run, state record.FaultState, match func(record.Fault) bool) (time.Duration, bool) {
	for _, e := range run.Faults {
		if e.State == state && match(e.Fault) {
			return e.T, true
		}
	}
	return 0, false
}

func lastState(run *record.Run, state record.FaultState, match func(record.Fault) bool) (time.Duration, bool) {
	var t time.Duration
	found := false
	for _, e := range run.Faults {
		if e.State == state && match(e.Fault) {
			t, found = max(t, e.T), true
		}
	}
	return t, found
}

// tried reports whether anything was done to the system.
func tried(run *record.Run) bool {
	_, injected := firstState(run, record.FaultInjected, anyFault)
	_, done := lastDone(run)
	_, begun := run.Phase("fault")
	return injected || done || staged(run) && begun
}

// relief is the instant since which the system is left alone: the last fault was
// reverted, or without any the last step was done, and the load is what it was.
func (v *View) relief() (t time.Duration, found bool) {
	if len(v.scenario.Spec.Faults) > 0 {
		t, found = lastState(v.Run, record.FaultReverted, anyFault)
	} else {
		t, found = lastDone(v.Run)
	}
	if w, open, begun := v.phase("fault"); staged(v.Run) {
		t, found = max(t, w.To), begun && !open
	}
	return t, found
}

// untried says what was not done.
func (v *View) untried() string {
	if len(v.scenario.Spec.Faults) == 0 {
		return "no step was done and the load was not changed"
	}
	return "no fault was injected"
}

// lastDone is the instant at which the last step was done.
func lastDone(run *record.Run) (t time.Duration, found bool) {
	for _, s := range run.Steps {
		if s.State == record.StepDone {
			t, found = max(t, s.T), true
		}
	}
	return t, found
}

func anyFault(record.Fault) bool { return true }
