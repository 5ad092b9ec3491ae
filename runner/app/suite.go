package app

import (
	"slices"

	"squall/reports"
	"squall/runner/verdict"
)

// outcome is one finished run. Its record is on disk: a suite may have many.
type outcome struct {
	in   *input
	dir  string
	row  reports.Row // the zero row where the record cannot be read
	code int

	again string // why it was run a second time, where it was
}

// judged reports whether there is a verdict.
func (o *outcome) judged() bool { return o.row.Dir != "" }

// starved says what the load lacked in a run that is inconclusive for it. A run
// that failed is none: a system that has stopped answering starves the generator too.
func (o *outcome) starved() string {
	if o == nil || o.row.Result.Verdict != verdict.Inconclusive {
		return ""
	}
	why := ""
	for _, f := range o.row.Result.Findings {
		if f.ID == verdict.LoadLaw && f.Verdict == verdict.Inconclusive {
			why = f.Why
		}
	}
	return why
}

func finished(all []*outcome) (done []*outcome) {
	for _, o := range all {
		if o != nil {
			done = append(done, o)
		}
	}
	return done
}

// conclusion is the exit code of all runs together: what is dirty outranks what
// went wrong beside it, and a run that never began is no pass.
func conclusion(code, missing int, err error) error {
	switch {
	case code == ExitDirty:
	case err != nil:
		code = ExitError
	case missing > 0:
		code = ExitInterrupted
	}
	if code == ExitPass {
		return nil
	}
	return exitError{code: code, err: err}
}

// worse is the worse of two exit codes: dirty, interrupted, then as verdicts rank.
func worse(a, b int) int {
	rank := []int{ExitPass, ExitInconclusive, ExitAborted, ExitFail, ExitError, ExitInterrupted, ExitDirty}
	if slices.Index(rank, b) > slices.Index(rank, a) {
		return b
	}
	return a
}

// worst is the exit code of several runs, each for itself.
func worst(outcomes []*outcome) (code int) {
	for _, o := range outcomes {
		code = worse(code, o.code)
	}
	return code
}

// suiteCode is the exit code of several runs where those of one scenario are
// judged together: what one alone left open they may have decided.
func suiteCode(outcomes []*outcome) (code int) {
	for _, group := range byScenario(outcomes) {
		c := worst(group)
		if c == ExitInconclusive {
			c = combined(group).ExitCode()
		}
		code = worse(code, c)
	}
	return code
}

// byScenario groups runs of the same scenario under the same defects.
func byScenario(outcomes []*outcome) (groups [][]*outcome) {
	index := map[string]int{}
	for _, o := range outcomes {
		key := o.in.name()
		i, known := index[key]
		if !known {
			i = len(groups)
			index[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], o)
	}
	return groups
}

// combined is the verdict over the runs of one scenario that have one.
func combined(group []*outcome) verdict.Result {
	var results []verdict.Result
	for _, o := range group {
		if o.judged() {
			results = append(results, o.row.Result)
		}
	}
	return group[0].in.judge().Combine(results)
}

// scenariosOf are the scenarios of a suite as its reports show them.
func scenariosOf(outcomes []*outcome) (all []reports.Scenario) {
	for _, group := range byScenario(outcomes) {
		s := reports.Scenario{Result: combined(group)}
		for _, o := range group {
			if o.judged() {
				s.Runs = append(s.Runs, o.row)
			}
		}
		if len(s.Runs) > 0 {
			all = append(all, s)
		}
	}
	return all
}
