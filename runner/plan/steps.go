package plan

import (
	"cmp"
	"slices"
	"time"
)

// Step is one instant of a phase: an injection, all reverts of that instant,
// which are done together, or an action of the scenario.
type Step struct {
	At     time.Duration // after the phase began
	Revert bool
	Faults []Fault
	Action *Action
}

// Steps are all that is done in a phase, in its order: by time; at one instant
// reverts first, of which the newest is named first, and actions last, so that
// they meet the faults that come with them.
func (p *Plan) Steps(phase string) []Step {
	var all []Step
	for i, f := range p.Faults {
		if phase != FaultOn {
			break
		}
		newest := p.Faults[len(p.Faults)-1-i]
		all = append(all, Step{At: f.At, Faults: []Fault{f}}, Step{At: newest.Until, Revert: true, Faults: []Fault{newest}})
	}
	for i, a := range p.Actions {
		if a.During == phase {
			all = append(all, Step{At: a.At, Action: &p.Actions[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(order(a), order(b)))
	})
	var out []Step
	for _, s := range all {
		if n := len(out); n > 0 && s.Revert && out[n-1].Revert && out[n-1].At == s.At {
			out[n-1].Faults = append(out[n-1].Faults, s.Faults...)
			continue
		}
		out = append(out, s)
	}
	return out
}

func order(s Step) int {
	switch {
	case s.Revert:
		return 0
	case s.Action == nil:
		return 1
	}
	return 2
}
