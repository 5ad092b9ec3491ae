package lint

import (
	"cmp"
	"slices"
	"time"

	"squall/scenarios/spec"
)

// stands is how long a fault is in force.
func (c *Case) stands(f spec.Fault) time.Duration {
	return time.Duration(cmp.Or(f.For, c.Scenario.Spec.Phases.Fault-f.At))
}

// span is how long a check looks at; 0 where that is not known beforehand.
func (c *Case) span(during string) time.Duration {
	switch p := c.Scenario.Spec.Phases; during {
	case "warmup":
		return time.Duration(p.Warmup)
	case "baseline":
		return time.Duration(p.Baseline)
	case "", "fault":
		return time.Duration(p.Fault)
	}
	return 0 // recovery ends early, and the run with it
}

// hits reports whether a fault acts on an edge or on the service it leads to.
func (c *Case) hits(f spec.Fault, edge string) bool {
	targets := c.System.Targets(f.On)
	return slices.ContainsFunc(c.System.EdgesNamed(edge), func(e spec.Edge) bool {
		return slices.Contains(targets, e.Name()) || slices.Contains(targets, e.Callee)
	})
}

// faultsOn are the faults that act on an edge or on the service it leads to.
func (c *Case) faultsOn(edge string) []spec.Fault {
	return slices.DeleteFunc(slices.Clone(c.Scenario.Spec.Faults), func(f spec.Fault) bool { return !c.hits(f, edge) })
}

// standsOn is how long an edge is under a fault at most; 0 where it never is.
func (c *Case) standsOn(edge string) time.Duration {
	var longest time.Duration
	for _, f := range c.faultsOn(edge) {
		longest = max(longest, c.stands(f))
	}
	return longest
}

// patience is the longest that a caller on the edge waits for one answer; 0
// where the system file does not say.
func (c *Case) patience(edge string) time.Duration {
	var longest time.Duration
	for _, e := range c.System.EdgesNamed(edge) {
		if e.Timeout == 0 {
			return 0
		}
		longest = max(longest, time.Duration(e.Timeout))
	}
	return longest
}

// breakerDelay is how long breakers on the edge stay open; 0 where the system
// file does not say.
func (c *Case) breakerDelay(edge string) time.Duration {
	var longest time.Duration
	for _, e := range c.System.EdgesNamed(edge) {
		longest = max(longest, time.Duration(e.Breaker))
	}
	return longest
}

// duration is a parameter of a check or a fault; 0 where it is absent.
func duration(n spec.Node, key string) time.Duration {
	var d spec.Duration
	if text := n.Get(key).Value(); text == "" || d.FromScalar(text) != nil {
		return 0
	}
	return time.Duration(d)
}

// name is a parameter that may be all there is: slo: NAME, promql: EXPR.
func name(n spec.Node, key string) string { return cmp.Or(n.Value(), n.Get(key).Value()) }
