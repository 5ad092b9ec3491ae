package plan

import (
	"slices"
	"strings"

	"squall/faults"
	"squall/scenarios/spec"
)

// claim says in words what a fault needs of a target to itself; empty: nothing.
// What is claimed by way of an edge to a database is the database's, whatever
// edge leads there.
func (c *compiler) claim(kind faults.Kind, act faults.Fault, name string) string {
	what := faults.Claimed(act)
	if what == "" {
		return ""
	}
	if kind.Needs == faults.NeedsDatabase {
		if edges := c.sys.EdgesNamed(name); len(edges) > 0 {
			name = c.sys.ServiceOf(edges[0].Callee)
		}
	}
	return string(what) + " of " + name
}

// conflicts refuses faults that claim the same while both stand: the second
// could not be injected, or neither would do what it says.
func (c *compiler) conflicts(all []Fault) {
	for i, b := range all {
		for _, a := range all[:i] {
			from, until := max(a.At, b.At), min(a.Until, b.Until)
			if shared := sharedClaims(a, b); from < until && len(shared) > 0 {
				c.problem(c.faultPos(b), "", "fault %s: %s needs the %s to itself, and so does %s of fault %s (%s): both stand from %s to %s of the fault phase; set apart at: and for:",
					b.ID, b.Kind, strings.Join(shared, ", "), a.Kind, a.ID, c.faultPos(a), from, until)
			}
		}
	}
}

func sharedClaims(a, b Fault) (shared []string) {
	for _, t := range b.Targets {
		claimed := func(o Target) bool { return o.Claim == t.Claim }
		if t.Claim != "" && slices.ContainsFunc(a.Targets, claimed) && !slices.Contains(shared, t.Claim) {
			shared = append(shared, t.Claim)
		}
	}
	return shared
}

func (c *compiler) faultPos(f Fault) spec.Pos {
	i := slices.IndexFunc(c.sc.Spec.Faults, func(s spec.Fault) bool { return s.ID == f.ID })
	return c.sc.Spec.Faults[i].Pos
}
