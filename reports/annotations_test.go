package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func TestAnnotations(t *testing.T) {
	at := spec.Pos{File: "squall/scenarios/a,b.yaml", Line: 14, Col: 7}
	findings := []verdict.Finding{
		{ID: "opens", Kind: "breaker", Verdict: verdict.Fail, Pos: at, Why: "94.1% of 320, 100%: wanted\nmore"},
		{ID: "fine", Verdict: verdict.Pass, Pos: at},
		{ID: "few", Verdict: verdict.Inconclusive, Pos: at, Why: "3 events"},
		{ID: "law", Verdict: verdict.Fail, Why: "stands in no file"},
	}
	all := []Scenario{{Result: verdict.Result{Findings: findings}, Runs: []Row{{Header: record.Header{Run: "slow"}}}}}
	var out bytes.Buffer
	require.NoError(t, Annotations(&out, all))
	assert.Equal(t, `::error file=squall/scenarios/a%2Cb.yaml,line=14,col=7,title=slow%3A opens fail::94.1%25 of 320, 100%25: wanted%0Amore
::warning file=squall/scenarios/a%2Cb.yaml,line=14,col=7,title=slow%3A few inconclusive::3 events
`, out.String())

	out.Reset()
	require.NoError(t, CodeQuality(&out, all))
	var issues []struct {
		Description string
		CheckName   string `json:"check_name"`
		Fingerprint string
		Severity    string
		Location    struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &issues))
	require.Len(t, issues, 2)
	assert.Equal(t, "slow: opens fail: 94.1% of 320, 100%: wanted\nmore", issues[0].Description)
	assert.Equal(t, []any{"squall breaker", "major", "squall/scenarios/a,b.yaml", 14}, []any{issues[0].CheckName, issues[0].Severity, issues[0].Location.Path, issues[0].Location.Lines.Begin})
	assert.Equal(t, "minor", issues[1].Severity)
	assert.Len(t, issues[0].Fingerprint, 64)
	assert.NotEqual(t, issues[0].Fingerprint, issues[1].Fingerprint)

	out.Reset()
	require.NoError(t, CodeQuality(&out, nil))
	assert.Equal(t, "[]\n", out.String(), "GitLab wants a list where nothing is wrong, too")

	out.Reset()
	for range 30 {
		all[0].Result.Findings = append(all[0].Result.Findings, findings[0])
	}
	require.NoError(t, Annotations(&out, all))
	assert.Equal(t, mostAnnotations, strings.Count(out.String(), "::error "), "GitHub shows no more")
}
