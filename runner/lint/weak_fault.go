package lint

import (
	"slices"
	"time"

	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "weak-fault",
		Summary: "The fault is weaker than the caller's patience, so nothing trips.",
		Doc: `A delay shorter than the timeout of the caller makes nobody time out, so no breaker opens and nothing is
retried: the assertion says nothing about them. The same holds for a timeout check whose waitAtMost is longer than the
whole delay: nobody waits that long, timeout or not. Make the delay several times the timeout, or assert less.
The caller's patience is timeout of the edge in the system file.`,
		find: weakFault,
	})
}

func weakFault(c *Case) {
	for _, k := range c.Scenario.Spec.Expect {
		edge := k.Params.Get("edge").Value()
		longest, at, ok := c.delayOn(edge)
		if !ok {
			continue
		}
		patience := c.patience(edge)
		trips := k.Kind == "timeout" || k.Kind == "retry" || k.Kind == "breaker" && k.Params.Get("staysClosed").Value() != "true"
		wait := duration(k.Params, "waitAtMost")
		switch {
		case trips && patience > longest:
			c.report(at, "%s is delayed by at most %s, but its caller waits %s: nobody times out, and %s has nothing to see", edge, longest, patience, k.ID)
		case k.Kind == "timeout" && wait >= longest:
			c.report(k.Params.Get("waitAtMost").Pos(), "%s is delayed by at most %s: nobody waits for %s, timeout or not", edge, longest, wait)
		}
	}
}

// delayOn is by how much the faults delay a call on the edge in all, and where
// the first of them says so; ok is false where they do something else as well,
// or are without a bound.
func (c *Case) delayOn(edge string) (longest time.Duration, at spec.Pos, ok bool) {
	on := c.faultsOn(edge)
	for i, f := range on {
		latency, jitter := duration(f.Params, "latency"), duration(f.Params, "jitter")
		distribution := f.Params.Get("distribution").Value()
		known := slices.Contains([]string{"net-latency", "http-delay", "grpc-delay"}, f.Kind)
		if !known || distribution != "" && distribution != "uniform" {
			return 0, at, false
		}
		if i == 0 {
			at = f.Params.Get("latency").Pos()
		}
		d := latency + jitter
		if f.Params.Get("stream").Value() == "both" {
			d *= 2
		}
		longest += d
	}
	return longest, at, len(on) > 0
}
