package app

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/reports"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// ran is a finished run of a scenario without checks; its one law says it all.
func ran(in *input, name string, f verdict.Finding) *outcome {
	f.Group = "evidence"
	res := verdict.Result{Verdict: f.Verdict, Findings: []verdict.Finding{f}}
	row := reports.Row{Dir: "out/" + name, Header: record.Header{Run: name, Scenario: name}, Result: res}
	return &outcome{in: in, dir: row.Dir, row: row, code: res.ExitCode()}
}

func named(name string, defects ...string) *input {
	sc := &spec.Scenario{}
	sc.Metadata.Name = name
	return &input{scenario: sc, system: &spec.System{}, plan: &plan.Plan{Defects: defects}}
}

func TestSuiteCode(t *testing.T) {
	a, b := named("a"), named("b")
	pass := verdict.Finding{ID: "x", Verdict: verdict.Pass}
	fail := verdict.Finding{ID: "x", Verdict: verdict.Fail}
	unclear := verdict.Finding{ID: "x", Verdict: verdict.Inconclusive}
	interrupted := ran(a, "a", pass)
	interrupted.code = ExitInterrupted
	for _, tt := range []struct {
		name string
		all  []*outcome
		want int
	}{
		{"nothing ran", nil, ExitPass},
		{"all pass", []*outcome{ran(a, "a", pass), ran(b, "b", pass), ran(a, "a.2", pass)}, ExitPass},
		{"one is inconclusive", []*outcome{ran(a, "a", pass), ran(a, "a.2", unclear), ran(b, "b", pass)}, ExitInconclusive},
		{"one fails", []*outcome{ran(a, "a", pass), ran(a, "a.2", fail), ran(b, "b", unclear)}, ExitFail},
		{"one was interrupted", []*outcome{ran(a, "a.2", fail), interrupted}, ExitInterrupted},
		{"one has no verdict", []*outcome{ran(a, "a.2", fail), {in: b, code: ExitError}}, ExitError},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, suiteCode(tt.all)) })
	}
}

func TestRunsOfOneScenarioAreOneLine(t *testing.T) {
	x := verdict.Finding{ID: "x", Verdict: verdict.Pass}
	a, broken := named("a"), named("a", "D01")
	all := scenariosOf([]*outcome{ran(a, "a", x), ran(broken, "a+D01", x), ran(a, "a.2", x), {in: named("lost"), code: ExitError}})
	var names []string
	for _, s := range all {
		names = append(names, s.Name())
	}
	assert.Equal(t, []string{"a", "a+D01"}, names, "a defect makes another scenario of it; what left no record is not there")
	assert.Len(t, all[0].Runs, 2)
}

func TestStarvedRunsAreToldFromOthers(t *testing.T) {
	in := named("a")
	load := func(v verdict.Verdict) *outcome {
		return ran(in, "a", verdict.Finding{ID: verdict.LoadLaw, Verdict: v, Why: "starved in fault"})
	}
	assert.Equal(t, "starved in fault", load(verdict.Inconclusive).starved())
	assert.Empty(t, load(verdict.Pass).starved())
	assert.Empty(t, ran(in, "a", verdict.Finding{ID: "scrapes", Verdict: verdict.Inconclusive}).starved())
	failed := load(verdict.Inconclusive)
	failed.row.Result.Verdict = verdict.Fail
	assert.Empty(t, failed.starved(), "what failed has shown something")
	assert.Empty(t, (*outcome)(nil).starved())
}
