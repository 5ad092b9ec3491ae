package lint

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "too-few-samples",
		Summary: "The load makes fewer samples than the assertion needs.",
		Doc: `A share is decided by its 95 % interval (Wilson). Even if every one of n events is good, its lower end is
n / (n + 3.84): for 99 % it takes 381 events, for 95 % 73, and with fewer the assertion is inconclusive at best. A quantile
needs as many that one lies on either side of its interval. Counted is one event per iteration of the load, over the
phase that is judged. Raise arrival, lengthen the phase, or ask for less.`,
		find: tooFewSamples,
	})
}

const zz = 1.959964 * 1.959964 // of a two-sided interval of 95 %

var quantilePattern = regexp.MustCompile(`histogram_quantile\(\s*([0-9.]+)\s*,`)

func tooFewSamples(c *Case) {
	if !c.Scenario.Spec.Load.Given() {
		return // nobody knows what comes
	}
	for _, k := range c.Scenario.Spec.Expect {
		span := c.span(k.During)
		if span == 0 {
			continue
		}
		events := c.Scenario.Spec.Load.Arrival.PerSecond * span.Seconds()
		need, what := 0, ""
		switch k.Kind {
		case "slo":
			need, what = c.forShare(k)
		case "promql":
			need, what = forQuantile(name(k.Params, "expr"))
		}
		need = max(need, k.MinSamples)
		if need > 0 && events < float64(need) && what != "" {
			c.report(k.Pos, "%s needs %d events to be decided, %s of load at %s makes %.0f: %s", k.ID, need, span.Round(time.Millisecond), c.Scenario.Spec.Load.Arrival.Text, events, what)
		}
	}
}

// forShare is how many events decide an SLO if all are good.
func (c *Case) forShare(k spec.Check) (int, string) {
	slo, known := c.System.SLOs[name(k.Params, "name")]
	if !known || !strings.Contains(slo.Total, "squall_operations_total") {
		return 0, "" // how often a service counts is not known
	}
	least, text := slo.Target, strconv.FormatFloat(slo.Target*100, 'f', -1, 64)+"%"
	switch {
	case k.AtLeast != nil:
		least, text = k.AtLeast.Value, k.AtLeast.Text
	case k.Above != nil:
		least, text = k.Above.Value, k.Above.Text
	case k.AtMost != nil || k.Below != nil:
		return 0, ""
	}
	if least <= 0 || least >= 1 {
		return 0, ""
	}
	return int(math.Ceil(zz * least / (1 - least))), "with fewer, even all of them good do not show " + text
}

func forQuantile(expr string) (int, string) {
	m := quantilePattern.FindStringSubmatch(expr)
	if m == nil || !strings.Contains(expr, "squall_operation_duration_seconds") && !strings.Contains(expr, "k6_http_req_duration_seconds") {
		return 0, ""
	}
	q, err := strconv.ParseFloat(m[1], 64)
	tail := math.Min(q, 1-q)
	if err != nil || tail <= 0 {
		return 0, ""
	}
	return int(math.Ceil(zz * q * (1 - q) / (tail * tail))), "with fewer, nothing is known of the " + m[1] + " quantile"
}
