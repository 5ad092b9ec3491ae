package gameday

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"squall/scenarios/spec"
)

// Facts are what decides whether a plan may be run now.
type Facts struct {
	Plan       *Plan             // as approved
	Now        *Plan             // the same day resolved again, now
	Problems   spec.Problems     // of doing so
	Window     *spec.TimeWindow  // of the day as it is now
	At         time.Time         // the instant
	Approvers  []spec.Approver   // of the system file as it is now
	Signatures map[string][]byte // file name to signature
	Frozen     string            // the freeze file, if it exists
	Open       []string          // what dead runs left to undo
	Preflight  []string          // what the machine lacks
}

// Refusals are all reasons against running, each with what to do about it where
// that is known. None: it may be run.
func Refusals(f Facts) (why []string) {
	no := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	for _, p := range f.Problems {
		no("the day cannot be resolved any more: %v", p)
	}
	if f.Now != nil && len(f.Problems) == 0 {
		for _, d := range f.Plan.Drift(f.Now) {
			no("drift since the plan was made: %s", d)
		}
	}
	if !f.At.Before(f.Plan.Expires) {
		no("the plan expired at %s: plan it again", f.Plan.Expires.Format(time.RFC3339))
	}
	if f.At.Before(f.Plan.Made.Add(-time.Minute)) {
		no("the plan is of %s, which has not come yet: a clock is wrong", f.Plan.Made.Format(time.RFC3339))
	}
	people, bad := Approvals(f.Plan.Hash(), f.Signatures, f.Approvers)
	for _, b := range bad {
		no("approval %s", b)
	}
	if len(people) < f.Plan.Approvals {
		have := "nobody has"
		if len(people) > 0 {
			have = strings.Join(people, ", ") + " only"
		}
		no("it needs %d of %s to approve, %s: squall gameday approve", f.Plan.Approvals, strings.Join(f.Plan.Approvers, ", "), have)
	}
	if f.Window != nil && !f.Window.Contains(f.At) {
		no("it is %s, outside the window %s", f.At.UTC().Format(time.RFC3339), f.Window)
	}
	if f.Frozen != "" {
		no("there is a freeze: %s exists", f.Frozen)
	}
	for _, o := range f.Open {
		no("a run ended and left something to undo: %s: squall heal", o)
	}
	for _, p := range f.Preflight {
		no("preflight: %s", p)
	}
	return why
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
