package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// validator checks what one field alone cannot tell. Its messages point at the
// value in question, found by its path from the root.
type validator struct {
	root     Node
	problems Problems
}

func (v *validator) fail(pos Pos, format string, args ...any) {
	v.suggest(pos, "", format, args...)
}

func (v *validator) suggest(pos Pos, suggestion, format string, args ...any) {
	v.problems = append(v.problems, Problem{Pos: pos, Msg: fmt.Sprintf(format, args...), Suggest: suggestion})
}

func (v *validator) scenario(s *Scenario) {
	v.choices(s.Spec.Switches)
	if at := v.root.At("spec"); at != v.root.at && len(s.Spec.Faults)+len(s.Spec.Steps)+len(s.Spec.Load.Stages) == 0 {
		v.fail(at, "neither faults nor steps nor stages of the load in spec: nothing would be tried")
	}
	v.stages(s.Spec.Load.Stages, s.Spec.Phases)
	v.faults(s.Spec.Faults, s.Spec.Phases)
	v.steps(s.Spec.Steps, s.Spec.Phases)
	ids := map[string]bool{}
	for i := range s.Spec.Steady {
		v.steady(&s.Spec.Steady[i], ids)
	}
	for i := range s.Spec.Expect {
		v.check(&s.Spec.Expect[i], ids)
	}
	for i := range s.Spec.Guardrails {
		v.check(&s.Spec.Guardrails[i].Check, ids)
	}
	v.proves(s.Spec.Proves, ids)
}

func (v *validator) choices(choices []Choice) {
	seen := map[string]bool{}
	for _, c := range choices {
		if seen[c.Name] {
			v.fail(c.Pos, "switches: %s is given twice", quote(c.Name))
		}
		seen[c.Name] = true
	}
}

func (v *validator) faults(faults []Fault, phases Phases) {
	ids := map[string]bool{}
	for i := range faults {
		f := &faults[i]
		v.unique("fault", f.ID, f.Src.At("id"), ids)
		if aim, err := ParseAim(f.On); err == nil {
			f.On = aim.String()
		} else if f.On != "" {
			v.fail(f.Src.At("on"), "on: %v", err)
		}
		switch {
		case phases.Fault == 0: // reported already
		case f.At >= phases.Fault:
			v.fail(f.Src.At("at"), "at: %s is not before the end of phase fault, which lasts %s", f.At, phases.Fault)
		case f.For > phases.Fault-f.At:
			v.fail(f.Src.At("for"), "for: at %s and for %s end after phase fault, which lasts %s", f.At, f.For, phases.Fault)
		}
	}
}

func (v *validator) steps(steps []Step, phases Phases) {
	ids := map[string]bool{}
	for _, s := range steps {
		v.unique("step", s.ID, s.Src.At("id"), ids)
		if s.given() != 1 {
			v.fail(s.Pos, "step %s: wants one of http, command and sql, has %d of them", quote(s.ID), s.given())
		}
		if length := phases.of(s.During); length > 0 && s.At >= length {
			v.fail(s.Src.At("at"), "at: %s is not before the end of phase %s, which lasts %s", s.At, s.During, length)
		}
	}
}

func (v *validator) stages(stages []Stage, phases Phases) {
	for i, s := range stages {
		switch {
		case phases.Fault > 0 && s.At >= phases.Fault:
			v.fail(s.Src.At("at"), "at: %s is not before the end of phase fault, which lasts %s", s.At, phases.Fault)
		case i > 0 && s.At <= stages[i-1].At:
			v.fail(s.Src.At("at"), "at: %s is not after the stage before, which is at %s", s.At, stages[i-1].At)
		}
	}
}

// of is the length of a phase that steps may stand in; 0 where it is none, or
// was reported already.
func (p Phases) of(phase string) Duration {
	return map[string]Duration{"fault": p.Fault, "recovery": p.Recovery}[phase]
}

// steady state is measured in the baseline: nothing else says the same.
func (v *validator) steady(c *Check, ids map[string]bool) {
	v.check(c, ids)
	if c.During == "" {
		c.During = "baseline"
	}
	if c.During != "baseline" {
		v.fail(c.Src.At("during"), "during: steady state is judged in the baseline, not in %s", c.During)
	}
}

func (v *validator) check(c *Check, ids map[string]bool) {
	v.unique("assertion", c.ID, c.Src.At("id"), ids)
	if c.AtLeast != nil && c.Above != nil {
		v.fail(c.Src.At("above"), "above: contradicts atLeast: give one lower bound")
	}
	if c.AtMost != nil && c.Below != nil {
		v.fail(c.Src.At("below"), "below: contradicts atMost: give one upper bound")
	}
	low, lowKey := bound(c.AtLeast, "atLeast", c.Above, "above")
	high, highKey := bound(c.AtMost, "atMost", c.Below, "below")
	if low == nil || high == nil {
		return
	}
	strict := c.AtLeast == nil || c.AtMost == nil
	if low.Value > high.Value || strict && low.Value == high.Value {
		v.fail(c.Src.At(highKey), "%s: nothing is both %s %s and %s %s", highKey, lowKey, low, highKey, high)
	}
}

func bound(a *Quantity, aKey string, b *Quantity, bKey string) (*Quantity, string) {
	if a != nil {
		return a, aKey
	}
	return b, bKey
}

func (v *validator) proves(proves []Prove, ids map[string]bool) {
	seen := map[string]bool{}
	for i, p := range proves {
		at := v.root.At("spec", "proves", strconv.Itoa(i))
		claim := p.Defect + " " + p.By
		if seen[claim] {
			v.fail(at, "defect %s is claimed twice", quote(p.Defect))
		}
		seen[claim] = true
		if p.By != "" && !ids[p.By] {
			v.suggest(p.Src.At("by"), Suggest(p.By, sorted(ids)), "by: there is no assertion %s", quote(p.By))
		}
	}
}

// unique notes an id and reports one that was there before.
func (v *validator) unique(what, id string, pos Pos, ids map[string]bool) {
	if id != "" && ids[id] {
		v.fail(pos, "id: there is already %s %s %s", article(what), what, quote(id))
	}
	ids[id] = true
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an"
	}
	return "a"
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
