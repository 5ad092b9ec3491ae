package lint

import (
	"slices"
	"time"

	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "short-recovery",
		Summary: "Recovery is asked for sooner than the system can drain.",
		Doc: `When a fault is gone, calls that hang are given up after the caller's timeout at the latest, and an open breaker
tries again after its delay. Before that a healthy system is not well, so a shorter bound turns it red. Counted are
the timeouts of edges under a fault that lets calls hang, and the delays of breakers that the scenario itself expects to
open. Give it both, and some room. Timeout and breaker are fields of the edge in the system file.`,
		find: shortRecovery,
	})
}

func shortRecovery(c *Case) {
	drain, edge := c.drain()
	if drain == 0 {
		return
	}
	for _, k := range c.Scenario.Spec.Expect {
		key := map[string]string{"recovery": "within", "breaker": "closesWithin"}[k.Kind]
		within, least, on := duration(k.Params, key), drain, edge
		if k.Kind == "breaker" {
			on = k.Params.Get("edge").Value()
			least = c.breakerDelay(on)
		}
		if within > 0 && within <= least {
			c.report(k.Params.Get(key).Pos(), "once its fault is gone %s needs up to %s to drain: recovery within %s is asked too soon", on, least, within)
		}
	}
}

// hanging are the kinds of fault under which calls are not answered for long.
var hanging = []string{"net-latency", "net-blackhole", "net-timeout", "net-partition", "http-delay", "grpc-delay", "proc-pause", "db-hang", "db-lock"}

// drain is the longest that an edge under a fault takes to be itself again.
func (c *Case) drain() (longest time.Duration, edge string) {
	for _, e := range c.System.Spec.Edges {
		hang := slices.ContainsFunc(c.Scenario.Spec.Faults, func(f spec.Fault) bool {
			return slices.Contains(hanging, f.Kind) && c.hits(f, e.Name())
		})
		if d := time.Duration(e.Timeout); hang && d > longest {
			longest, edge = d, c.System.EdgeOf(e.Name())
		}
	}
	for _, k := range c.Scenario.Spec.Expect {
		on := k.Params.Get("edge").Value()
		opens := k.Kind == "breaker" && k.Params.Get("staysClosed").Value() != "true" && c.standsOn(on) > 0
		if d := c.breakerDelay(on); opens && d > longest {
			longest, edge = d, on
		}
	}
	return longest, edge
}
