package lint

func init() {
	builtin(Rule{
		Name:    "short-window",
		Summary: "The fault is gone before the breaker can do what is asserted of it.",
		Doc: `A breaker tries again after its delay. Where the fault stands for less, no trial call meets it, and
trialCallsAtMost counts nothing; opensWithin longer than the fault stands lets a breaker open when it is over.
Let the fault stand for two delays at least. The delay is breaker of the edge in the system file.`,
		find: shortWindow,
	})
}

func shortWindow(c *Case) {
	for _, k := range c.Scenario.Spec.Expect {
		if k.Kind != "breaker" {
			continue
		}
		edge := k.Params.Get("edge").Value()
		stands, delay := c.standsOn(edge), c.breakerDelay(edge)
		if trials := k.Params.Get("trialCallsAtMost"); trials.Value() != "" && stands > 0 && delay >= stands {
			c.report(trials.Pos(), "the breaker of %s tries again after %s, but the fault stands for %s: no trial call meets it", edge, delay, stands)
		}
		if within := k.Params.Get("opensWithin"); within.Value() != "" && stands > 0 && duration(k.Params, "opensWithin") >= stands {
			c.report(within.Pos(), "the fault on %s stands for %s: opening within %s may be opening after it", edge, stands, within.Value())
		}
	}
}
