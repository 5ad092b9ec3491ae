package lint

import (
	"regexp"
	"slices"

	"squall/scenarios/spec"
)

func init() {
	builtin(Rule{
		Name:    "inside-bucket",
		Summary: "The threshold lies inside a bucket of a classic histogram.",
		Doc: `A quantile of a classic histogram (its series end in _bucket) is interpolated within a bucket, and was seen to be
36 % too high. Whether it is above a threshold is known only where a bucket ends. Looked for are the buckets that client
libraries have by default: 5ms 10ms 25ms 50ms 100ms 250ms 500ms 1s 2.5s 5s 10s. Let the threshold be the end of a bucket, or
judge native histograms, such as k6_http_req_duration_seconds and squall_operation_duration_seconds of the load.`,
		find: insideBucket,
	})
}

var (
	classicPattern = regexp.MustCompile(`histogram_quantile\(.*_bucket\b`)
	defaultBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func insideBucket(c *Case) {
	guardrails := make([]spec.Check, 0, len(c.Scenario.Spec.Guardrails))
	for _, g := range c.Scenario.Spec.Guardrails {
		guardrails = append(guardrails, g.Check)
	}
	for _, k := range slices.Concat(c.Scenario.Spec.Steady, c.Scenario.Spec.Expect, guardrails) {
		if k.Kind != "promql" || !classicPattern.MatchString(name(k.Params, "expr")) {
			continue
		}
		for key, q := range map[string]*spec.Quantity{"below": k.Below, "atMost": k.AtMost, "above": k.Above, "atLeast": k.AtLeast} {
			if q != nil && !slices.Contains(defaultBuckets, q.Value) {
				low, high := around(q.Value)
				c.report(k.Src.At(key), "%s lies inside the bucket from %gs to %gs of a classic histogram: what is in between is interpolated, not measured", q.Text, low, high)
			}
		}
	}
}

// around are the ends of the bucket that a value lies in.
func around(v float64) (low, high float64) {
	i, _ := slices.BinarySearch(defaultBuckets, v)
	if i > 0 {
		low = defaultBuckets[i-1]
	}
	if i == len(defaultBuckets) {
		return low, v
	}
	return low, defaultBuckets[i]
}
