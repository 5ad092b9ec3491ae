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

// linksOf resolves the edge that a check names, which must speak HTTP; where
// there is none, it has no links.
func linksOf(d *Declared, field, edge string) links {
	if edge == "" {
		d.fail(field, d.Kind+" needs an edge, such as orders -> payments", "")
		return links{}
	}
	l := links{edgeName(edge), map[string]bool{}}
	for _, e := range d.System.EdgesNamed(edge) {
		if e.Protocol != "http" {
			under := ""
			if e.Scheme != "" {
				under = " with " + strings.Join(d.System.Switches, " and ") + " on"
			}
			d.fail(field, fmt.Sprintf("edge %s speaks %s%s; %s needs requests, so an http edge", l.name, e.Protocol, under, d.Kind), "")
			return links{name: l.name}
		}
		l.of[e.Name()] = true
	}
	if len(l.of) > 0 {
		return l
	}
	if why := d.System.Absent(l.name); why != "" {
		d.fail(field, "edge "+l.name+" is not part of the system: "+why, "")
		return l
	}
	_, names := d.System.Declared()
	for _, e := range d.System.Spec.Edges {
		names = append(names, e.Name())
	}
	d.fail(field, "unknown edge "+edge, spec.Suggest(l.name, names))
	return l
}

// aimed says which requests a check is about.
type aimed struct {
	Edge   string `yaml:"edge" spec:"required" doc:"Edge that carries the calls: orders -> payments."`
	Method string `yaml:"method" doc:"Only requests of this method."`
	Path   string `yaml:"path" doc:"Only requests whose path matches; * within a segment, a trailing /** for any rest."`

	links links
}

// resolve finds the edge.
func (a *aimed) resolve(d *Declared) {
	a.links = linksOf(d, "edge", a.Edge)
	a.Edge, a.Method = a.links.name, strings.ToUpper(a.Method)
}

func (a *aimed) matches(x *record.Exchange) bool {
	return a.links.has(x.Edge) && x.Method != "" && (a.Method == "" || x.Method == a.Method) && matchPath(a.Path, x.Path)
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
