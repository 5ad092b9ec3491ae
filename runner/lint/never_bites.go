package lint

import (
	"math"
	"strconv"
	"time"
)

func init() {
	builtin(Rule{
		Name:    "never-bites",
		Summary: "The fault chooses what does not come while it stands, or has not grown when it ends.",
		Doc: `A fault that begins with the nth call, or takes every nth, meets nothing if fewer come while it stands; it is then not
seen biting, and the run is inconclusive. Assumed are as many as twenty calls per iteration of the load. A ramp longer
than the fault stands never reaches its full size.`,
		find: neverBites,
	})
}

// callsPerIteration is more than any edge carries for one iteration of the load.
const callsPerIteration = 20

func neverBites(c *Case) {
	for _, f := range c.Scenario.Spec.Faults {
		stands := c.stands(f)
		most := math.Inf(1) // without load of ours nobody knows what comes
		if load := c.Scenario.Spec.Load; load.Given() {
			most = load.Arrival.PerSecond * stands.Seconds() * callsPerIteration
		}
		for _, key := range []string{"from", "every"} {
			n := f.Params.Get(key)
			if at, err := strconv.ParseFloat(n.Value(), 64); err == nil && at > most {
				c.report(n.Pos(), "%s: %s, but at %s no more than %.0f come in the %s that the fault stands", key, n.Value(), c.Scenario.Spec.Load.Arrival.Text, most, stands.Round(time.Millisecond))
			}
		}
		if ramp := duration(f.Params, "ramp"); ramp > stands {
			c.report(f.Params.Get("ramp").Pos(), "the fault grows for %s and stands for %s: it never reaches its full size", ramp, stands)
		}
	}
}
