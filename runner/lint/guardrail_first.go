package lint

import "time"

func init() {
	builtin(Rule{
		Name:    "guardrail-first",
		Summary: "A guardrail aborts the run before the assertion on the same SLO is broken.",
		Doc: `A guardrail is the last line: it aborts what has gone too far. Where it is as strict as the assertion, a run that should
fail is aborted instead, and says less. Let the guardrail be well below what is asserted.`,
		find: guardrailFirst,
	})
}

func guardrailFirst(c *Case) {
	for _, g := range c.Scenario.Spec.Guardrails {
		if g.Kind != "slo" || g.Below == nil {
			continue
		}
		for _, k := range c.Scenario.Spec.Expect {
			same := k.Kind == "slo" && name(k.Params, "name") == name(g.Params, "name") && c.span(k.During) > time.Duration(g.For)
			if same && k.AtLeast != nil && g.Below.Value >= k.AtLeast.Value {
				c.report(g.Src.At("below"), "the run is aborted below %s, and %s is broken below %s: it would be aborted, not failed", g.Below.Text, k.ID, k.AtLeast.Text)
			}
		}
	}
}
