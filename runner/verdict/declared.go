package verdict

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"squall/scenarios/spec"
)

// Declared is a check as the scenario has it, with what it may refer to and the
// mistakes found in it so far.
type Declared struct {
	spec.Check
	Group    string        // steady, expect, guardrail
	For      time.Duration // guardrails: how long it must be broken
	Scenario *spec.Scenario
	System   *spec.System

	problems  spec.Problems
	malformed spec.Problems // those of them that decoding has told
}

// declared is a check ready to be used, if it has no problems.
type declared struct {
	Declared
	kind    Kind
	checker Checker
}

// declare checks a check by its kind. One of an unknown kind that looks like a
// slip is taken for what was meant, so that its other mistakes show as well.
func declare(d Declared) declared {
	if d.Kind == "" {
		return declared{Declared: d} // decoding has told
	}
	k, known := builtins[d.Kind]
	if !known {
		near := spec.Suggest(d.Kind, slices.Sorted(maps.Keys(builtins)))
		d.problems = spec.Problems{{Pos: d.Src.Key(d.Kind), Msg: fmt.Sprintf("unknown check kind %q", d.Kind), Suggest: near, See: "squall list checks"}}
		if near == "" {
			return declared{Declared: d}
		}
		k = builtins[near]
	}
	d.misused(k)
	checker := k.New(&d)
	if k.Fixed || d.During == "" {
		d.During = k.During
	}
	if d.During == "" {
		d.During = map[string]string{"steady": "baseline", "expect": "fault", "guardrail": "run"}[d.Group]
	}
	d.problems = d.problems.Explained("squall explain " + k.Name)
	return declared{d, k, checker}
}

// misused checks the fields that every check has against its kind.
func (d *Declared) misused(k Kind) {
	fail := func(field, msg string) {
		at := d.Pos
		if p := d.Src.At(field); field != "" && p.Line > 0 {
			at = p
		}
		d.note(at, msg)
	}
	bounded := len(boundsOf(d.Check)) > 0
	switch {
	case k.Bounds == BoundsRequired && !bounded:
		fail("", k.Name+" needs a bound: atLeast, atMost, above or below")
	case k.Bounds == BoundsRefused && bounded:
		fail("", k.Name+" takes no atLeast, atMost, above or below; see squall explain "+k.Name)
	}
	switch {
	case d.Group == "guardrail" && k.Bounds == BoundsRefused:
		fail("", "a guardrail is an slo or a promql check, not "+k.Name)
	case d.Group == "guardrail" && d.During != "":
		fail("during", "during: a guardrail watches the last "+short(d.For)+" all along")
	case d.Group == "steady" && k.Fixed:
		fail("", k.Name+" looks at more than the baseline, so it is no steady state")
	case k.Fixed && d.During != "":
		fail("during", "during: "+k.Name+" chooses its own window")
	}
}

// decode fills the parameters of a kind as far as they can be read.
func (d *Declared) decode(into any) {
	d.malformed = spec.AsProblems(d.Params.Decode(into), d.Pos)
	d.problems = append(d.problems, d.malformed...)
}

// fail notes a mistake in a parameter, or in the check itself where field is
// empty or absent. Where decoding has told something of it, the rest follows
// from that and is not worth telling.
func (d *Declared) fail(field, msg, suggest string) {
	if d.told(field) {
		return
	}
	at := d.Params.At(field)
	if at.Line == 0 {
		at = d.Pos
	}
	d.problems = append(d.problems, spec.Problem{Pos: at, Msg: msg, Suggest: suggest})
}

// note notes a mistake that is not one of the parameters.
func (d *Declared) note(at spec.Pos, msg string) {
	d.problems = append(d.problems, spec.Problem{Pos: at, Msg: msg})
}

// told reports whether decoding has told of a parameter, or of what could be the
// one that is absent. Of the whole, a parameter that is missing tells nothing.
func (d *Declared) told(field string) bool {
	part := d.Params.Get(field)
	return slices.ContainsFunc(d.malformed, func(p spec.Problem) bool {
		if field == "" || part.IsZero() {
			return field != "" || p.Pos != d.Params.At() || !d.Params.IsMapping()
		}
		return part.Holds(p.Pos)
	})
}
