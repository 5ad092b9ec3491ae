package reports

import (
	"bytes"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// pooled is a short run of two instances of payments, whose links are one edge
// in the system file.
func pooled(t *testing.T) Input {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pooled")
	synctest.Test(t, func(t *testing.T) {
		w, err := record.Create(dir, record.Header{Run: "pooled", Scenario: "pooled", Started: time.Now(), Switches: []string{"identity"}})
		require.NoError(t, err)
		require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "baseline", Event: "start"}))
		for i, callee := range []string{"payments-1", "payments-2"} {
			require.NoError(t, w.Put(record.Wire, record.Exchange{At: time.Now().UnixNano(), Edge: "orders -> " + callee, Method: "POST", Path: "/charges", Op: "op", Status: 500 - 300*i}))
			require.NoError(t, w.Put(record.Metrics, record.Scrape{At: time.Now().UnixNano(), Source: callee, Up: true,
				New: []record.Series{{ID: uint32(i + 1), Type: "gauge", Labels: map[string]string{
					"__name__": "breaker_state", "edge": "payments -> psp", "instance": callee, "job": "payments"}}},
				V: []record.Value{{ID: uint32(i + 1), V: 0}}}))
		}
		require.NoError(t, w.Append(record.TypeFault, record.Fault{ID: "cut", Kind: "net-down", On: "orders -> payments",
			Targets: []string{"orders -> payments-1", "orders -> payments-2"}, State: record.FaultInjected}))
		time.Sleep(time.Second)
		require.NoError(t, w.Put(record.Metrics, record.Scrape{At: time.Now().UnixNano(), Source: "payments-2", Up: true, V: []record.Value{{ID: 2, V: 2}}}))
		require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "baseline", Event: "end"}))
		require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	})
	run, err := record.Open(dir)
	require.NoError(t, err)
	system := &spec.System{Spec: spec.SystemSpec{
		Services: map[string]spec.Service{"orders": {Of: "orders"}, "payments-1": {Of: "payments", Ordinal: 1}, "payments-2": {Of: "payments", Ordinal: 2}},
		Edges:    spec.Edges{{Caller: "orders", Callee: "payments-1"}, {Caller: "orders", Callee: "payments-2"}},
	}}
	return Input{Run: run, System: system, Scenario: &spec.Scenario{}, Result: verdict.Result{Verdict: verdict.Pass, Findings: []verdict.Finding{
		{ID: "bounded", Group: "expect", Verdict: verdict.Pass, Edge: "orders -> payments-2"},
	}}}
}

func TestLinksOfInstancesAreOneEdge(t *testing.T) {
	in := pooled(t)
	rows := edges(in, retries(in))
	require.Len(t, rows, 1)
	assert.Equal(t, "orders -> payments", rows[0].Edge)
	assert.Equal(t, traffic{Calls: 2, Errors: 1, Retries: 1}, rows[0].Phases[0], "a call repeated to another instance is a retry")
	assert.Equal(t, []string{"cut"}, rows[0].Faults, "once, though it acts on both links")
	assert.Equal(t, []string{"bounded"}, rows[0].Asserted)
}

func TestEachInstanceHasABreakerOfItsOwn(t *testing.T) {
	moved := tracks(pooled(t).Run, isBreaker)
	require.Len(t, moved, 1)
	assert.Equal(t, "payments-2 -> psp", moved[0].Name)
}

func TestReportNamesSwitchesAndTargets(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, HTML(&page, pooled(t)))
	text := words(parsed(t, page.String()))
	assert.Contains(t, text, "Switches on: identity")
	assert.Contains(t, text, "orders -> payments-1, orders -> payments-2")
}

// skipped is a run that was not begun.
func skipped(t *testing.T) Input {
	t.Helper()
	const why = "no program postgres on this machine (required by postgres)"
	w, err := record.Create(filepath.Join(t.TempDir(), "failover"), record.Header{
		Run: "failover", Scenario: "failover", Title: "The primary dies", Hypothesis: "It fails over.", Started: time.Unix(1_700_000_000, 0),
		Rerun: "squall run --seed 7 failover.yaml", Seed: 7,
	})
	require.NoError(t, err)
	require.NoError(t, w.Close(record.End{Reason: record.EndSkipped, Error: why}))
	run, err := record.Open(w.Dir())
	require.NoError(t, err)
	run.Last = 0
	return Input{Run: run, System: &spec.System{}, Scenario: &spec.Scenario{}, Result: verdict.Result{
		Verdict: verdict.Skipped, Sentence: "skipped: " + why, Findings: []verdict.Finding{
			{ID: "requirements", Kind: "evidence", Group: "evidence", Verdict: verdict.Skipped, Expected: "all that the system needs is on this machine", Measured: "not all of it", Why: why},
			{ID: "one-writer", Kind: "ledger", Group: "expect", Verdict: verdict.Skipped, Why: "not judged: " + why},
		},
	}}
}

func TestSkippedRun(t *testing.T) {
	in := skipped(t)
	var out bytes.Buffer
	Final(&out, in, TextOptions{ReportPath: "out/report.html"})
	golden(t, "final-skipped.txt", out.String())

	out.Reset()
	require.NoError(t, RunJUnit(&out, in, JUnitOptions{}))
	golden(t, "junit-skipped.xml", out.String())

	out.Reset()
	require.NoError(t, Markdown(&out, in))
	golden(t, "summary-skipped.md", out.String())

	out.Reset()
	require.NoError(t, HTML(&out, in))
	assert.Contains(t, out.String(), "no program postgres on this machine")
	assert.NotContains(t, out.String(), "NaN")

	out.Reset()
	Summary(&out, []Scenario{alone(RowOf(in))}, false)
	assert.Contains(t, out.String(), "– skipped  failover  0.0 s  no program postgres")
	out.Reset()
	require.NoError(t, Index(&out, []Scenario{alone(RowOf(in))}, nil))
	assert.Contains(t, out.String(), "1 skipped")
}
