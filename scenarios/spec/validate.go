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
	v.problems = append(v.problems, Problem{pos, fmt.Sprintf(format, args...), suggestion})
}

func (v *validator) scenario(s *Scenario) {
	v.choices(s.Spec.Switches)
	v.faults(s.Spec.Faults, s.Spec.Phases)
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
		if strings.Contains(f.On, "->") {
			caller, callee, err := SplitEdge(f.On)
			if err != nil {
				v.fail(f.Src.At("on"), "on: %v", err)
			} else {
				f.On = Edge{Caller: caller, Callee: callee}.Name()
			}
		} else if f.On != "" && !patterns["name"].re.MatchString(f.On) {
			v.fail(f.Src.At("on"), "on: %s is neither a service (orders) nor an edge (orders -> payments)", quote(f.On))
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
