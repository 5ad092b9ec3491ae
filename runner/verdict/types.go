// Package verdict judges a record. It is pure: the same record, scenario and
// system give the same result on any machine, at any time.
package verdict

import (
	"time"

	"squall/scenarios/spec"
)

// Verdict of a finding or of a run.
type Verdict string

// The verdicts. Dirty is orthogonal and outranks them all.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"         // an assertion is broken
	Inconclusive Verdict = "inconclusive" // not enough evidence
	Error        Verdict = "error"        // injection or infrastructure
	Aborted      Verdict = "aborted"      // by guardrail or person
	Skipped      Verdict = "skipped"      // a named requirement is absent
)

// Finding is the outcome of one assertion, or of one law of evidence.
type Finding struct {
	ID         string         `json:"id"`
	Kind       string         `json:"kind"`             // check kind, or "evidence"
	Group      string         `json:"group"`            // steady, expect, guardrail, evidence
	During     string         `json:"during,omitempty"` // phase judged
	Verdict    Verdict        `json:"verdict"`
	Expected   string         `json:"expected"`           // "at least 99%"
	Measured   string         `json:"measured"`           // "99.7%"
	Margin     string         `json:"margin,omitempty"`   // measured against the bound: "+0.7 points", "35% below"
	Interval   *Interval      `json:"interval,omitempty"` // of the measured value, where it is an estimate
	Tally      *Tally         `json:"tally,omitempty"`    // where it is a share of events
	Pooled     int            `json:"pooled,omitempty"`   // runs whose events decided it together
	Samples    int            `json:"samples"`
	MinSamples int            `json:"min_samples,omitempty"`
	Why        string         `json:"why"`               // one sentence; names the cause when not pass
	Details    []string       `json:"details,omitempty"` // bounded list: ids, windows, attempts
	Flaws      []Flaw         `json:"flaws,omitempty"`   // operations that the books contradict, the first thousand
	Expr       string         `json:"expr,omitempty"`    // PromQL as run
	Edge       string         `json:"edge,omitempty"`
	Worst      *time.Duration `json:"worst,omitempty"` // instant of the worst value, since run start
	Window     *Window        `json:"window,omitempty"`
	Series     []Point        `json:"series,omitempty"` // what was judged over time, for charts
	Pos        spec.Pos       `json:"pos"`

	// Pending is set while the run goes on and the verdict may still change:
	// the window is open, or the system still has time to do what is expected.
	Pending bool `json:"pending,omitempty"`
}

// Flaw is one operation that the books contradict.
type Flaw struct {
	ID   string `json:"id"`
	Flaw string `json:"flaw"` // lost, doubled, half-done, pending, unexplained
	Text string `json:"text"` // what the books say
}

// Tally is what a ratio was made of. Those of several runs add up.
type Tally struct {
	Good  float64 `json:"good"`
	Total float64 `json:"total"`
}

func (t Tally) ratio() float64 { return t.Good / t.Total }

// Window is a span of the run, since run start.
type Window struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
}

// Point is one value in time.
type Point struct {
	T time.Duration `json:"t"`
	V float64       `json:"v"`
}

// Result is the judgement of a whole run; verdict.json holds it.
type Result struct {
	Verdict  Verdict   `json:"verdict"`
	Dirty    []string  `json:"dirty,omitempty"` // what could not be restored
	Sentence string    `json:"sentence"`        // verdict with its cause, for people
	Findings []Finding `json:"findings"`        // evidence first, then steady, expect, guardrails, in file order
}

// ExitCode maps a result to the process exit code of design section 2.
func (r Result) ExitCode() int {
	if len(r.Dirty) > 0 {
		return 6
	}
	switch r.Verdict {
	case Pass, Skipped:
		return 0
	case Fail:
		return 1
	case Inconclusive:
		return 3
	case Aborted:
		return 5
	default:
		return 4
	}
}
