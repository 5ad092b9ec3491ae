package plan

import (
	"cmp"
	"slices"
	"time"
)

// Step is one instant of the fault phase.
type Step struct {
	At     time.Duration // after the phase began
	Revert bool
	Fault  Fault
}

// Steps are all injections and reverts in their order: by time, at one instant
// reverts first, and those newest first.
func (p *Plan) Steps() []Step {
	var out []Step
	for i, f := range p.Faults {
		out = append(out, Step{At: f.At, Fault: f}, Step{At: p.Faults[len(p.Faults)-1-i].Until, Revert: true, Fault: p.Faults[len(p.Faults)-1-i]})
	}
	slices.SortStableFunc(out, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(order(a), order(b)))
	})
	return out
}

func order(s Step) int {
	if s.Revert {
		return 0
	}
	return 1
}
