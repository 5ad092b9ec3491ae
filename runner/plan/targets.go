package plan

import (
	"maps"
	"slices"

	"squall/faults"
	"squall/scenarios/spec"
)

// targets resolves f.On and checks that it can do what the kind needs.
func (c *compiler) targets(f spec.Fault, kind faults.Kind) []string {
	if links := c.sys.EdgesNamed(f.On); len(links) > 0 {
		return c.links(f, kind, links)
	}
	instances := c.sys.Instances(f.On)
	for _, name := range instances {
		if kind.Needs != faults.NeedsProcess || len(c.sys.Spec.Services[name].Command) == 0 {
			c.problem(f.Pos, "", "fault %s: %s needs a %s, %q is a service", f.ID, f.Kind, kind.Needs, f.On)
			return nil
		}
	}
	if len(instances) == 0 {
		c.unknown(f)
	}
	return instances
}

func (c *compiler) links(f spec.Fault, kind faults.Kind, links spec.Edges) (names []string) {
	if !slices.Contains(capabilities(links[0]), kind.Needs) {
		c.problem(f.Pos, "", "fault %s: %s needs a %s, %q speaks %s", f.ID, f.Kind, kind.Needs, f.On, links[0].Protocol)
		return nil
	}
	if kind.Needs == faults.NeedsBus {
		links = links[:1] // it acts on the broker, which is one, by whichever way
	}
	for _, e := range links {
		names = append(names, e.Name())
	}
	return names
}

func (c *compiler) unknown(f spec.Fault) {
	if why := c.sys.Absent(f.On); why != "" {
		c.problem(f.Pos, "", "fault %s: %q is not part of the system: %s", f.ID, f.On, why)
		return
	}
	services, edges := c.sys.Declared()
	known := append(edges, services...)
	for _, e := range c.sys.Spec.Edges {
		known = append(known, e.Name())
	}
	known = append(known, slices.Sorted(maps.Keys(c.sys.Spec.Services))...)
	c.problem(f.Pos, spec.Suggest(f.On, known), "fault %s: unknown target %q: no edge or service of %s", f.ID, f.On, c.sys.File)
}

func capabilities(e spec.Edge) []faults.Capability {
	switch e.Protocol {
	case "http":
		return []faults.Capability{faults.NeedsLink, faults.NeedsHTTPLink}
	case "nats":
		return []faults.Capability{faults.NeedsLink, faults.NeedsBus}
	default:
		return []faults.Capability{faults.NeedsLink}
	}
}

// seeded gives each target of a group chance of its own.
func (c *compiler) seeded(f spec.Fault, on []string) []Target {
	out := make([]Target, len(on))
	for i, name := range on {
		component := "fault " + f.ID
		if len(on) > 1 {
			component += " on " + name
		}
		out[i] = Target{name, SeedFor(c.o.Seed, component)}
	}
	return out
}
