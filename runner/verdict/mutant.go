package verdict

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"squall/scenarios/spec"
)

// wide is what a limit is multiplied with so that it limits nothing.
const wide = 1000

// Mutant is a scenario with one assertion changed, so that it promises less or
// nothing. A suite that proves its assertions notices.
type Mutant struct {
	Assertion string         `json:"assertion"`
	Change    string         `json:"change"` // in words: "closesWithin 10s becomes 10000s"
	Pos       spec.Pos       `json:"pos"`
	Scenario  *spec.Scenario `json:"-"`
}

// Mutants changes each assertion of a scenario in every way known: deleted, and
// each of its limits widened until it limits nothing (mutation analysis as of
// DeMillo, Lipton and Sayward 1978, applied to the checks).
func Mutants(sc *spec.Scenario) []Mutant {
	var out []Mutant
	for i, c := range sc.Spec.Expect {
		with := func(change string, checks []spec.Check) {
			m := *sc
			m.Spec.Expect = checks
			out = append(out, Mutant{Assertion: c.ID, Change: change, Pos: c.Pos, Scenario: &m})
		}
		with("deleted", slices.Delete(slices.Clone(sc.Spec.Expect), i, i+1))
		for _, w := range widened(c) {
			checks := slices.Clone(sc.Spec.Expect)
			checks[i] = w.check
			with(w.change, checks)
		}
	}
	return out
}

type widenedCheck struct {
	check  spec.Check
	change string
}

// widened are all checks that differ in one limit.
func widened(c spec.Check) (out []widenedCheck) {
	limit := func(name string, q *spec.Quantity, to float64, set func(*spec.Check, *spec.Quantity)) {
		if q == nil {
			return
		}
		w := c
		set(&w, &spec.Quantity{Value: to, Text: q.Text})
		out = append(out, widenedCheck{w, fmt.Sprintf("%s %s limits nothing", name, q.Text)})
	}
	limit("atLeast", c.AtLeast, math.Inf(-1), func(w *spec.Check, q *spec.Quantity) { w.AtLeast = q })
	limit("above", c.Above, math.Inf(-1), func(w *spec.Check, q *spec.Quantity) { w.Above = q })
	limit("atMost", c.AtMost, math.Inf(1), func(w *spec.Check, q *spec.Quantity) { w.AtMost = q })
	limit("below", c.Below, math.Inf(1), func(w *spec.Check, q *spec.Quantity) { w.Below = q })
	keys, values := c.Params.Scalars()
	for i, key := range keys {
		if to, ok := loosened(key, values[i]); ok {
			w := c
			w.Params = c.Params.Set(key, to)
			out = append(out, widenedCheck{w, fmt.Sprintf("%s %s becomes %s", key, values[i], to)})
		}
	}
	return out
}

// loosened is a parameter that demands less: a longer time, a higher cap, a
// lower floor, or a demand that is dropped.
func loosened(key, value string) (string, bool) {
	switch {
	case key == "status":
		return "xxx", true
	case slices.Contains([]string{"every", "timeout", "at", "exit", "port"}, key):
		return "", false // says how something is looked at, and limits nothing
	case value == "true":
		return "false", true
	case strings.Contains(strings.ToLower(key), "least"):
		return spec.Scaled(value, 1.0/wide)
	default:
		return spec.Scaled(value, wide)
	}
}
