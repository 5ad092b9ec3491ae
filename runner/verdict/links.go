package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// links are what the edge of a check means: all edges between instances of its
// two services, or those of the instances it names.
type links struct {
	name string // as the scenario has it
	of   map[string]bool
}

// linksOf resolves the edge that a check names, which must speak HTTP.
func linksOf(d Declared, field, edge string) (links, spec.Problems) {
	if edge == "" {
		return links{}, d.problem(field, d.Kind+" needs an edge, such as orders -> payments", "")
	}
	l := links{edgeName(edge), map[string]bool{}}
	for _, e := range d.System.EdgesNamed(edge) {
		if e.Protocol != "http" {
			under := ""
			if e.Scheme != "" {
				under = " with " + strings.Join(d.System.Switches, " and ") + " on"
			}
			return l, d.problem(field, fmt.Sprintf("edge %s speaks %s%s; %s needs requests, so an http edge", l.name, e.Protocol, under, d.Kind), "")
		}
		l.of[e.Name()] = true
	}
	if len(l.of) > 0 {
		return l, nil
	}
	if why := d.System.Absent(l.name); why != "" {
		return l, d.problem(field, "edge "+l.name+" is not part of the system: "+why, "")
	}
	_, names := d.System.Declared()
	for _, e := range d.System.Spec.Edges {
		names = append(names, e.Name())
	}
	return l, d.problem(field, "unknown edge "+edge, spec.Suggest(l.name, names))
}

func (l links) has(edge string) bool { return l.of[edge] }

// callers are the instances that call, sorted.
func (l links) callers() []string {
	callers := map[string]bool{}
	for edge := range l.of {
		caller, _ := ends(edge)
		callers[caller] = true
	}
	return slices.Sorted(maps.Keys(callers))
}

// hitBy reports whether a fault acts on one of the links: on the link itself,
// or on the instance it leads to.
func (l links) hitBy(f record.Fault) bool {
	return slices.ContainsFunc(f.Hits(), func(target string) bool {
		for edge := range l.of {
			if _, callee := ends(edge); target == edge || target == callee {
				return true
			}
		}
		return false
	})
}

// cutBy reports whether a fault acts on one of the links itself.
func (l links) cutBy(f record.Fault) bool { return slices.ContainsFunc(f.Hits(), l.has) }
