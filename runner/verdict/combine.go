package verdict

import (
	"fmt"
	"slices"
	"strings"
)

// pooler is a checker that can decide by what several runs measured together.
// It reports whether it did: false where one of them was not for want of events.
type pooler interface {
	pool(f *Finding, runs []Finding) bool
}

// tallied adds up the events of several runs; false where one counted none.
func tallied(runs []Finding) (sum Tally, ok bool) {
	for _, f := range runs {
		if f.Tally == nil {
			return Tally{}, false
		}
		sum.Good, sum.Total = sum.Good+f.Tally.Good, sum.Total+f.Tally.Total
	}
	return sum, true
}

// Combine judges several runs of the scenario as one: what every run must show
// is as bad as in the worst of them, so it passes only where all of them do.
// Only an estimate that no run broke, and that one run alone could not decide,
// is decided by all runs together: they are more of the same. Laws of evidence hold for each run by itself.
func (j *Judge) Combine(runs []Result) Result {
	if len(runs) == 1 {
		return runs[0]
	}
	var findings []Finding
	for _, id := range identities(runs) {
		findings = append(findings, j.combined(id, runs))
	}
	r := worstOf(findings)
	for i, run := range runs {
		for _, d := range run.Dirty {
			r.Dirty = append(r.Dirty, fmt.Sprintf("run %d: %s", i+1, d))
		}
	}
	r.Sentence = r.sentence(func() string { return j.passedAll(r, len(runs)) })
	return r
}

// identity is how findings of several runs are told to be of one check.
type identity struct{ group, id string }

// identities are all findings of the runs, in the order of the first that has them.
func identities(runs []Result) (all []identity) {
	seen := map[identity]bool{}
	for _, r := range runs {
		for _, f := range r.Findings {
			if id := (identity{f.Group, f.ID}); !seen[id] {
				seen[id] = true
				all = append(all, id)
			}
		}
	}
	return all
}

func (j *Judge) combined(id identity, runs []Result) Finding {
	var all []Finding
	var details []string
	for i, r := range runs {
		for _, f := range r.Findings {
			if (identity{f.Group, f.ID}) == id {
				all = append(all, f)
				details = append(details, fmt.Sprintf("run %d: %s: %s", i+1, f.Verdict, f.Why))
			}
		}
	}
	worst := all[worstIn(all)]
	bad := 0
	for _, f := range all {
		if f.Verdict == worst.Verdict {
			bad++
		}
	}
	f := worst
	if pooled, ok := j.pooled(id, all); ok {
		f = pooled
	} else if f.Verdict != Pass && f.Verdict != Skipped {
		f.Why = fmt.Sprintf("in %d of %d runs: %s", bad, len(runs), f.Why)
	}
	f.Details = bounded(details)
	return f
}

// pooled decides an assertion by the events of all runs, where that is called for.
func (j *Judge) pooled(id identity, all []Finding) (Finding, bool) {
	i := slices.IndexFunc(j.checks, func(c declared) bool { return c.Group == id.group && c.ID == id.id })
	if i < 0 || !all[0].estimated() || all[worstIn(all)].Verdict != Inconclusive {
		return Finding{}, false
	}
	checker, ok := j.checks[i].checker.(pooler)
	if !ok {
		return Finding{}, false
	}
	f := j.checks[i].blank()
	f.Expected, f.Expr = all[0].Expected, all[0].Expr
	if !checker.pool(&f, all) {
		return Finding{}, false
	}
	f.Pooled, f.Why = len(all), fmt.Sprintf("over %d runs together: %s", len(all), f.Why)
	return f, true
}

// passedAll says that it held every time, and what took all runs to decide.
func (j *Judge) passedAll(r Result, runs int) string {
	s := fmt.Sprintf("%q held in %d runs", strings.TrimSuffix(strings.TrimSpace(j.scenario.Spec.Hypothesis), "."), runs)
	for _, f := range r.Findings {
		if f.Pooled > 0 {
			s += fmt.Sprintf("; %s was decided by all of them together", f.ID)
		}
	}
	return s
}
