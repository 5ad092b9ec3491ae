package lint

import (
	"slices"
	"strings"

	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "no-traffic",
		Summary: "No traffic crosses the edge that is broken or judged.",
		Doc: `The load script reads the address of each edge of the client from __ENV; an edge whose variable it does not
name carries nothing, and neither does what lies only behind it. A fault there cannot be seen biting, so the run would be
inconclusive. A service that nobody calls is taken to work by itself, and behind a broker everybody who is connected
to it. Drive the edge, or aim elsewhere.`,
		find: noTraffic,
	})
}

func noTraffic(c *Case) {
	busy := c.busy()
	idle := func(edge string) bool {
		edges := c.System.EdgesNamed(edge)
		return len(edges) > 0 && !slices.ContainsFunc(edges, func(e spec.Edge) bool { return c.carries(e, busy) })
	}
	for _, f := range c.Scenario.Spec.Faults {
		if idle(f.On) {
			c.report(f.Src.At("on"), "no traffic crosses %s: the load script calls nothing that leads there", f.On)
		}
	}
	for _, k := range slices.Concat(c.Scenario.Spec.Steady, c.Scenario.Spec.Expect) {
		if edge := k.Params.Get("edge"); idle(edge.Value()) {
			c.report(edge.Pos(), "no traffic crosses %s: the load script calls nothing that leads there", edge.Value())
		}
	}
}

// carries reports whether calls go along an edge.
func (c *Case) carries(e spec.Edge, busy map[string]bool) bool {
	if e.Caller == spec.Client {
		return !c.Scenario.Spec.Load.Given() || strings.Contains(c.Script, e.Env) // whom others call, nobody knows
	}
	return busy[e.Caller]
}

// busy are the instances that have something to do under the load.
func (c *Case) busy() map[string]bool {
	busy, called := map[string]bool{}, map[string]bool{}
	for _, e := range c.System.Spec.Edges {
		called[e.Callee] = true
	}
	for name := range c.System.Spec.Services {
		busy[name] = !called[name]
	}
	for more := true; more; {
		more = false
		mark := func(name string) {
			if name != spec.Client && !busy[name] {
				busy[name], more = true, true
			}
		}
		for _, e := range c.System.Spec.Edges {
			if c.carries(e, busy) {
				mark(e.Callee)
			}
			if e.Protocol == "nats" && busy[e.Callee] { // it delivers to everybody
				mark(e.Caller)
			}
		}
	}
	return busy
}
