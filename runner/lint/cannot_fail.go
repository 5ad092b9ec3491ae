package lint

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"squall/runner/metrics"
	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "cannot-fail",
		Summary: "No defect can turn the assertion red.",
		Doc: `A check that cannot fail proves nothing when it passes: a share that is at least 0 % or at most 100 %, an expression
that reads no metric, a wait allowed to last as long as the fault stands, a defect claimed by a scenario whose load never
reaches a service that has it.`,
		find: cannotFail,
	})
}

func cannotFail(c *Case) {
	for _, k := range c.Scenario.Spec.Expect {
		switch k.Kind {
		case "slo":
			c.shareCannotFail(k)
		case "promql":
			c.readsNothing(k)
		case "timeout":
			edge := k.Params.Get("edge").Value()
			wait, stands := duration(k.Params, "waitAtMost"), c.standsOn(edge)
			if stands > 0 && wait >= stands {
				c.report(k.Params.Get("waitAtMost").Pos(), "the fault on %s stands for %s: nobody waits for it longer than %s", edge, stands, wait)
			}
		case "failover":
			c.gapCannotFail(k)
		}
	}
	c.unreachedDefects()
}

func (c *Case) shareCannotFail(k spec.Check) {
	switch {
	case k.AtLeast != nil && k.AtLeast.Value <= 0:
		c.report(k.Src.At("atLeast"), "a share is always at least %s", k.AtLeast.Text)
	case k.AtMost != nil && k.AtMost.Value >= 1:
		c.report(k.Src.At("atMost"), "a share is always at most %s", k.AtMost.Text)
	}
}

func (c *Case) readsNothing(k spec.Check) {
	expr, err := metrics.Expand(name(k.Params, "expr"), time.Minute)
	if err != nil {
		return
	}
	tree, err := parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true}).ParseExpr(expr)
	if err != nil {
		return
	}
	reads := false
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		_, is := n.(*parser.VectorSelector)
		reads = reads || is
		return nil
	})
	if !reads {
		c.report(k.Params.Pos(), "the expression reads no metric: it has the same value whatever happens")
	}
}

func (c *Case) gapCannotFail(k spec.Check) {
	most := time.Duration(c.Scenario.Spec.Phases.Fault + c.Scenario.Spec.Phases.Recovery)
	if gap := duration(k.Params, "gapAtMost"); gap >= most {
		c.report(k.Params.Get("gapAtMost").Pos(), "fault and recovery last %s: no gap is longer than %s", most, gap)
	}
}

// unreachedDefects are claimed though no service that has them has anything to do.
func (c *Case) unreachedDefects() {
	busy := c.busy()
	for _, p := range c.Scenario.Spec.Proves {
		reached := false
		for name, svc := range c.System.Spec.Services {
			reached = reached || busy[name] && slices.Contains(svc.Defects, p.Defect)
		}
		if !reached {
			c.report(p.Pos, "the load reaches no service that knows %s: it cannot turn anything red", p.Defect)
		}
	}
}
