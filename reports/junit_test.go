package reports

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

func junit(t *testing.T, o JUnitOptions, ins ...Input) string {
	t.Helper()
	var b bytes.Buffer
	var all []Scenario
	for _, in := range ins {
		all = append(all, alone(RowOf(in)))
	}
	require.NoError(t, JUnit(&b, all, o))
	return b.String()
}

func decoded(t *testing.T, text string) junitSuites {
	t.Helper()
	var all junitSuites
	require.NoError(t, xml.Unmarshal([]byte(text), &all))
	return all
}

func TestJUnitGolden(t *testing.T) {
	in := plot.input(t)
	golden(t, "junit.xml", junit(t, JUnitOptions{}, in))
	golden(t, "junit-strict.xml", junit(t, JUnitOptions{Strict: true}, in))
}

func TestJUnitStrictHasNoPlaces(t *testing.T) {
	for _, c := range decoded(t, junit(t, JUnitOptions{Strict: true}, plot.input(t))).Suites[0].Cases {
		assert.Empty(t, c.File, c.Name)
		assert.Zero(t, c.Line, c.Name)
	}
}

func TestJUnitCountsAgree(t *testing.T) {
	in := plot.input(t)
	all := decoded(t, junit(t, JUnitOptions{}, in, in))
	require.Len(t, all.Suites, 2)
	assert.Equal(t, 14, all.Tests)
	assert.Equal(t, [3]int{2, 0, 2}, [3]int{all.Failures, all.Errors, all.Skipped})
	assert.Equal(t, "54.400", all.Time)
}

func TestJUnitIsNeverGreenWhereTheRunIsNot(t *testing.T) {
	green := []verdict.Finding{{ID: "ok", Group: "expect", Verdict: verdict.Pass}}
	for _, tt := range []struct {
		name   string
		result verdict.Result
		errors int
		added  bool
	}{
		{"pass", verdict.Result{Verdict: verdict.Pass, Findings: green}, 0, false},
		{"skipped", verdict.Result{Verdict: verdict.Skipped, Findings: green}, 0, false},
		{"aborted", verdict.Result{Verdict: verdict.Aborted, Sentence: "aborted: by a person", Findings: green}, 1, true},
		{"error", verdict.Result{Verdict: verdict.Error, Sentence: "error: no proxy"}, 1, true},
		{"inconclusive", verdict.Result{Verdict: verdict.Inconclusive, Sentence: "too little", Findings: green}, 1, true},
		{"fail", verdict.Result{Verdict: verdict.Fail, Sentence: "fail", Findings: green}, 1, true},
		{"red already", verdict.Result{Verdict: verdict.Fail, Findings: []verdict.Finding{{ID: "no", Group: "expect", Verdict: verdict.Fail}}}, 0, false},
		{"a finding nobody knows", verdict.Result{Verdict: verdict.Error, Findings: []verdict.Finding{{ID: "odd", Group: "expect", Verdict: "odd"}}}, 1, false},
		{"dirty", verdict.Result{Verdict: verdict.Pass, Findings: green, Dirty: []string{"a stage is left"}}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := plot.input(t)
			in.Result = tt.result
			suite := decoded(t, junit(t, JUnitOptions{}, in)).Suites[0]
			assert.Equal(t, tt.errors, suite.Errors)
			assert.Len(t, suite.Cases, suite.Tests)
			added := false
			for _, c := range suite.Cases {
				if c.Name == "run" {
					added = true
					require.NotNil(t, c.Error)
					assert.Equal(t, tt.result.Sentence, c.Error.Message)
				}
			}
			assert.Equal(t, tt.added, added)
		})
	}
}

// A scenario that ran several times is one suite, judged by all its runs, and names each.
func TestJUnitOfSeveralRuns(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, JUnit(&b, []Scenario{repeated(t)}, JUnitOptions{}))
	all := decoded(t, b.String())
	require.Len(t, all.Suites, 1)
	s := all.Suites[0]
	assert.Equal(t, "81.600", s.Time, "all three")
	require.Len(t, s.Cases, 1)
	assert.Contains(t, s.Cases[0].Failure.Body, "run 2: fail: twice")
	var runs []string
	for _, p := range s.Properties {
		if strings.HasPrefix(p.Name, "run-") {
			runs = append(runs, p.Value)
		}
	}
	assert.Equal(t, []string{
		"out/s/psp-slow: pass: squall run --seed 7 scenarios/psp-slow.yaml", "out/s/psp-slow.2: fail: squall run --seed 7 scenarios/psp-slow.yaml",
		"out/s/psp-slow.3: pass: squall run --seed 7 scenarios/psp-slow.yaml",
	}, runs)
}

func TestJUnitKeepsHostileTextInItsPlace(t *testing.T) {
	s := plot
	s.name = hostile
	text := junit(t, JUnitOptions{}, s.input(t))
	noControl(t, text)
	assert.NotContains(t, text, "<script")
	suite := decoded(t, text).Suites[0]
	assert.Equal(t, 7, suite.Tests)
	assert.Len(t, suite.Cases, 7)
	assert.Equal(t, 1, suite.Failures)
}
