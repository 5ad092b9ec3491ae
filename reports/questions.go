package reports

import (
	"encoding/json"
	"time"

	"squall/runner/metrics"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// question is what an assertion asks the metrics.
type question struct {
	ID            string
	Anchor        string
	Written, AsIs string // PromQL as in the file, and as it was run
}

// questions are those of all assertions on metrics.
func questions(in Input, shown []shown) (out []question) {
	for _, s := range shown {
		check, found := checkOf(in, s.Group, s.ID)
		if !found {
			continue
		}
		switch check.Kind {
		case "promql":
			if expr := param(check, "expr"); expr != "" {
				out = append(out, question{s.ID, s.Anchor, expr, s.Expr})
			}
		case "slo", "recovery", "alert":
			name := "slo"
			if check.Kind == "slo" {
				name = "name"
			}
			out = append(out, ratioQuestion(in, s, param(check, name))...)
		}
	}
	return out
}

func ratioQuestion(in Input, s shown, slo string) []question {
	o, known := spec.SLO{}, false
	if in.System != nil {
		o, known = in.System.SLOs[slo]
	}
	if !known || s.Window == nil {
		return nil
	}
	part := o.Good
	if part == "" {
		part = o.Bad
	}
	run := func(expr string) string {
		as, err := metrics.Increase(expr, (s.Window.To - s.Window.From).Round(time.Millisecond))
		if err != nil {
			return ""
		}
		return as
	}
	return []question{{s.ID, s.Anchor, part + "\n/ " + o.Total, run(part) + "\n/ " + run(o.Total)}}
}

// checkOf is the check of the scenario that a finding is of.
func checkOf(in Input, group, id string) (spec.Check, bool) {
	if in.Scenario == nil {
		return spec.Check{}, false
	}
	s := in.Scenario.Spec
	all := map[string][]spec.Check{"steady": s.Steady, "expect": s.Expect}[group]
	if group == "guardrail" {
		for _, g := range s.Guardrails {
			all = append(all, g.Check)
		}
	}
	for _, c := range all {
		if c.ID == id {
			return c, true
		}
	}
	return spec.Check{}, false
}

// param is a parameter of a check as written; the short form is the one named.
func param(c spec.Check, name string) string {
	data, err := json.Marshal(c.Params)
	if err != nil {
		return ""
	}
	var short string
	if json.Unmarshal(data, &short) == nil {
		return short
	}
	var long map[string]any
	_ = json.Unmarshal(data, &long) // a list has no such parameter
	text, _ := long[name].(string)
	return text
}

// sloName is the objective that an assertion of the scenario is on.
func sloName(in Input, id string) string {
	c, found := checkOf(in, "expect", id)
	if !found || c.Kind != "slo" || in.System == nil {
		return ""
	}
	name := param(c, "name")
	if _, known := in.System.SLOs[name]; !known {
		return ""
	}
	return name
}

// series are the values that were judged over time.
func judgedSeries(res verdict.Result) (out []verdict.Finding) {
	for _, f := range res.Findings {
		if len(f.Series) > 0 {
			out = append(out, f)
		}
	}
	return out
}
