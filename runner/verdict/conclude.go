package verdict

import (
	"fmt"
	"strings"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// conclude takes the worst of the findings; none at all is inconclusive.
func conclude(v *View, sc *spec.Scenario, findings []Finding) Result {
	r := worstOf(findings)
	if v.Run.End != nil {
		r.Dirty = v.Run.End.Dirty
	}
	r.Sentence = r.sentence(func() string { return passed(v, sc, r) })
	return r
}

func worstOf(findings []Finding) Result {
	r := Result{Verdict: Inconclusive, Findings: findings}
	if i := worstIn(findings); i >= 0 {
		r.Verdict = findings[i].Verdict
	}
	return r
}

// worstIn is the index of the first of the worst findings, -1 without any.
func worstIn(findings []Finding) int {
	worst := -1
	for i, f := range findings {
		if worst < 0 || rank(f.Verdict) > rank(findings[worst].Verdict) {
			worst = i
		}
	}
	return worst
}

// sentence is the verdict and its cause.
func (r Result) sentence(passed func() string) string {
	worst := worstIn(r.Findings)
	if len(r.Dirty) > 0 {
		s := "dirty: not restored: " + r.Dirty[0]
		if n := len(r.Dirty) - 1; n > 0 {
			s += fmt.Sprintf(" (and %d more)", n)
		}
		return s + "; run squall heal; the verdict was " + string(r.Verdict)
	}
	if worst < 0 {
		return string(r.Verdict) + ": nothing was judged"
	}
	if r.Verdict == Pass {
		return "pass: " + passed()
	}
	f := r.Findings[worst]
	s := string(r.Verdict) + ": "
	if f.Group != "evidence" {
		s += f.ID + ": "
	}
	s += f.Why
	if n := others(r.Findings, worst); n > 0 {
		s += fmt.Sprintf(" (and %s)", plural(n, "more broken assertion"))
	}
	return s + r.doubt()
}

// doubt says what else to know of a run that failed: where its evidence is not
// whole, the machine may be to blame, not the system.
func (r Result) doubt() string {
	if r.Verdict != Fail {
		return ""
	}
	for _, f := range r.Findings {
		if f.Group == "evidence" && f.Verdict == Inconclusive {
			return "; the run itself is in doubt: " + f.Why
		}
	}
	return ""
}

// others counts further findings that are as bad, where each is a cause of its own.
func others(findings []Finding, worst int) int {
	n := 0
	for i, f := range findings {
		if i != worst && f.Verdict == Fail && findings[worst].Verdict == Fail {
			n++
		}
	}
	return n
}

// passed says what held, what it held against, and how long recovery took.
func passed(v *View, sc *spec.Scenario, r Result) string {
	s := fmt.Sprintf("%q held while %s", strings.TrimSuffix(strings.TrimSpace(sc.Spec.Hypothesis), "."), list(attacks(v, sc)))
	for _, f := range r.Findings {
		if f.Kind == "recovery" {
			return s + "; " + f.Measured
		}
	}
	return s
}

// attacks are what was done to the system: faults of one kind on one target count
// as one thing done several times.
func attacks(v *View, sc *spec.Scenario) (all []string) {
	type same struct{ kind, on string }
	times, receipts := map[same]int{}, map[same]record.Receipt{}
	var order []same
	for _, x := range sc.Spec.Faults {
		k := same{x.Kind, x.On}
		if times[k] == 0 {
			order = append(order, k)
		}
		_, receipt := lifecycle(v.Run, x.ID)
		receipt.Hits += receipts[k].Hits
		times[k], receipts[k] = times[k]+1, receipt
	}
	for _, k := range order {
		text := k.kind + " hit " + k.on
		if n := times[k]; n > 1 {
			text += fmt.Sprintf(" %d times", n)
		}
		all = append(all, fmt.Sprintf("%s (%s affected)", text, receipts[k]))
	}
	for _, x := range sc.Spec.Steps {
		all = append(all, "step "+x.ID+" was done")
	}
	var rates []string
	for _, x := range sc.Spec.Load.Stages {
		rates = append(rates, x.Arrival.String())
	}
	if len(rates) > 0 {
		all = append(all, "the load went to "+list(rates))
	}
	return all
}

// list is how a sentence names several things.
func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}
