package reports_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/reports"
	"squall/runner/verdict"
)

func trial(v verdict.Verdict, good bool, broken ...string) reports.Trial {
	return reports.Trial{Dir: "out/x", Link: "x/report.html", Verdict: v, Good: good, Broken: broken, Why: "because"}
}

func proof() reports.Proof {
	fail, pass := verdict.Fail, verdict.Pass
	p := reports.Proof{
		Claims: []reports.Claim{
			{Defect: "D01", Scenario: "a", By: "x", Runs: []reports.Trial{trial(fail, true, "x", "y"), trial(fail, true, "x")}},
			{Defect: "D02", Scenario: "a", By: "x", Runs: []reports.Trial{trial(fail, true, "x"), trial(fail, false, "y")}},
			{Defect: "D03", Scenario: "a", Runs: []reports.Trial{trial(fail, true, "x"), trial(pass, false)}},
			{Defect: "D06", Scenario: "a", By: "x", Runs: []reports.Trial{trial(fail, true, "x"), trial(verdict.Inconclusive, false)}},
			{Defect: "D07", Scenario: "a", By: "x"},
			{Defect: "D04", What: "<b>breaks</b>", Scenario: "b", Runs: []reports.Trial{trial(verdict.Skipped, false)}},
		},
		Clean: []reports.Clean{{Scenario: "a", Runs: []reports.Trial{trial(pass, true), trial(pass, true)}}, {Scenario: "b", Runs: []reports.Trial{trial(verdict.Skipped, false)}}},
		Mutants: []reports.Mutant{
			{Scenario: "a", Mutant: verdict.Mutant{Assertion: "x", Change: "deleted"}, Noticed: "D01"},
			{Scenario: "a", Mutant: verdict.Mutant{Assertion: "y", Change: "deleted"}},
		},
		Idle: []string{"a/z"}, Unclaimed: []string{"D05 is bad"},
	}
	p.Clean[0].Runs[1].Again = "the load generator was starved"
	return p
}

func TestProofOutcomes(t *testing.T) {
	p := proof()
	for i, want := range []string{"killed", "wrong", "survived", "unclear", "unseen", "skipped"} {
		assert.Equal(t, want, p.Claims[i].Outcome(), p.Claims[i].Defect)
	}
	assert.Equal(t, []string{"x"}, p.Claims[0].Broken(), "only what broke in every run")
	killed, of := p.Score()
	assert.Equal(t, [2]int{1, 5}, [2]int{killed, of})
	assert.False(t, p.Holds())
}

func TestProofHolds(t *testing.T) {
	p := proof()
	p.Claims = p.Claims[:1]
	assert.True(t, p.Holds(), "a scenario that was skipped shows nothing, and hides nothing")
	p.Clean[0].Runs[1] = trial(verdict.Inconclusive, false)
	assert.False(t, p.Holds(), "a clean run that is not green")
	p.Clean[0].Runs = nil
	assert.False(t, p.Holds(), "nobody has seen it green")
}

func TestProofSaysFirstWhatIsAmiss(t *testing.T) {
	p := proof()
	p.Clean = append(p.Clean, reports.Clean{Scenario: "c", Runs: []reports.Trial{trial(verdict.Pass, true), trial(verdict.Fail, false, "x")}})
	assert.Equal(t, "D02 wrong in a; D03 survived in a; D06 unclear in a; D07 unseen in a; c without a defect was green in 1 of 2 runs", p.Amiss())
	p.WorstFirst()
	var defects, clean []string
	for _, c := range p.Claims {
		defects = append(defects, c.Defect)
	}
	for _, c := range p.Clean {
		clean = append(clean, c.Scenario)
	}
	assert.Equal(t, []string{"D02", "D03", "D06", "D07", "D01", "D04"}, defects)
	assert.Equal(t, []string{"c", "a", "b"}, clean)
}

func TestProofText(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, reports.ProofText(&b, proof()))
	assert.Equal(t, `defect  scenario  claimed by  outcome       broken in every run
D01     a         x           killed 2/2    x
D02     a         x           wrong 1/2     
D03     a                     survived 1/2  
D06     a         x           unclear 1/2   
D07     a         x           unseen 0/0    
D04     b                     skipped 0/1   
none    a                     green 2/2     
none    b                     green 0/1     
D02 wrong in a: fail: because (out/x)
D03 survived in a: pass: because (out/x)
D06 unclear in a: inconclusive: because (out/x)
none was run twice in a: the load generator was starved (out/x)
mutation score: 1 of 5 defects (1 skipped); 1 of 2 weakened checks noticed
1 of 12 runs show nothing (inconclusive, error or aborted); 1 of 12 are second tries, because the load generator was starved
not noticed:
  a/y: deleted
no defect turns red:
  a/z
claimed by no scenario:
  D05 is bad
`, b.String())
}

func TestProofFormats(t *testing.T) {
	var page, junit bytes.Buffer
	require.NoError(t, reports.ProofHTML(&page, proof()))
	require.NoError(t, reports.ProofJUnit(&junit, proof()))
	assert.Contains(t, page.String(), "1 of 5 defects turn the scenario red")
	assert.Contains(t, page.String(), "second try: the load generator was starved")
	assert.Contains(t, page.String(), "&lt;b&gt;breaks&lt;/b&gt;")
	assert.Contains(t, junit.String(), `tests="9" failures="2" errors="2" skipped="3"`)
	assert.Contains(t, page.String(), "1 of 12 runs show nothing")
	assert.Equal(t, 2, strings.Count(junit.String(), "<failure"))
}

func TestProofMarkdown(t *testing.T) {
	var b bytes.Buffer
	p := proof()
	p.Earlier = 3
	require.NoError(t, reports.ProofMarkdown(&b, p))
	for _, want := range []string{
		"Of 5 claims of a defect 1 are killed", "Without a defect 2 of 2 runs were green", "1 of 12 runs show nothing", "3 more were made with an earlier form",
		"| D01 |  | a | `x` | killed | 2 of 2 |", "| D07 |  | a | `x` | unseen | 0 of 0 |", "- D03 in a: survived: because", "- a/z\n", "- a/y: deleted\n", "- D05 is bad\n",
	} {
		assert.Contains(t, b.String(), want)
	}
	assert.NotContains(t, b.String(), "<b>")
}
