package engine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/targets/process"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

const instancesSystem = `apiVersion: squall/v1
kind: System
metadata: {name: pool}
spec:
  target: process
  defaults:
    command: [PROGRAM, serve, "${self.http}"]
    ports: [http]
    env: {DATA: "${data}"}
    ready: {http: /ready}
    metrics: /metrics
    stop: 500ms
  services:
    front: {command: [PROGRAM, serve, "${self.http}"], replicas: 2}
    back: {command: [PROGRAM, serve, "${self.http}"], replicas: 2}
  edges:
    client -> front: {protocol: http, env: FRONT_URL}
    front -> back: {protocol: http, env: NEXT_URL}
  ledger:
    books: {service: back, path: /audit}
`

const instancesScenario = `apiVersion: squall/v1
kind: Scenario
metadata: {name: pool}
spec:
  hypothesis: The pool survives.
  system: system.yaml
  load: {script: load.js, arrival: 20/s}
  phases: {warmup: 300ms, baseline: 1500ms, fault: 3s, recovery: 1500ms}
  faults:
    - {id: late, kind: net-latency, on: front -> back, for: 1s, params: {latency: 30ms}}
    - {id: one, kind: proc-kill, on: back-2, at: 1200ms, for: 500ms}
    - {id: all, kind: proc-kill, on: back, at: 2s, for: 800ms}
  steady:
    - {id: up, promql: 'min(up)', atLeast: 1}
  expect:
    - {id: repeated, retry: {edge: front -> back, attemptsAtMost: 2}, minSamples: 5}
    - {id: by-service, promql: 'count(served_total{job="back"} and on (instance) served_total{instance=~"back-[12]"})', during: recovery, atLeast: 2, minSamples: 1}
    - {id: answered, promql: 'sum(served_total{job="front"})', during: recovery, atLeast: 10, minSamples: 1}
`

func instancesConfig(t *testing.T) Config { return configOf(t, instancesScenario) }

// configOf is a run of a scenario on real processes behind real proxies.
func configOf(t *testing.T, scenario string) Config {
	t.Helper()
	dir := t.TempDir()
	declared, problems := spec.ParseSystem(filepath.Join(dir, "system.yaml"), []byte(strings.ReplaceAll(instancesSystem, "PROGRAM", os.Args[0])))
	require.Empty(t, problems)
	sys, problems := declared.With()
	require.Empty(t, problems)
	sys.SLOs = map[string]spec.SLO{"answered": {Name: "answered", Target: 0.99, Bad: "sum(refused_total)", Total: `sum(served_total{job="front"})`}}
	sc, problems := spec.Parse("pool.yaml", []byte(scenario))
	require.Empty(t, problems)
	p, problems := plan.Compile(sc, sys, plan.Options{Seed: 1, Registry: faults.Builtin()})
	require.Empty(t, problems)
	judge, problems := verdict.NewJudge(sc, sys)
	require.Empty(t, problems)
	runDir := filepath.Join(dir, "run")
	w, err := record.Create(runDir, record.Header{Run: "pool", Scenario: "pool", Started: time.Now()})
	require.NoError(t, err)
	journal, err := inject.OpenJournal(filepath.Join(runDir, "undo.ndjson"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = journal.Close() })
	const lease = 5 * time.Second
	return Config{
		Plan: p, Scenario: sc, System: sys, Judge: judge, Record: w, Journal: journal, Registry: faults.Builtin(),
		Env: process.New(process.Config{System: sys, RunDir: runDir, StateDir: filepath.Join(dir, "state"), Self: []string{os.Args[0]}, Owner: "run", Lease: lease}),
		K6:  os.Args[0], Script: "load.js", Owner: "run", Lease: lease,
		Heal: func(context.Context) error { return nil },
	}
}

// Faults on one instance and on all of a service, on real processes: each is
// one fault in the record, and everything is as it was afterwards.
func TestRunOnInstances(t *testing.T) {
	cfg := instancesConfig(t)
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	assert.Equal(t, record.EndDone, end.Reason, end.Error)
	assert.Empty(t, end.Dirty)
	open, err := inject.ReadJournal(filepath.Join(cfg.Record.Dir(), "undo.ndjson"))
	require.NoError(t, err)
	assert.Empty(t, open)

	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	last := map[string]record.Fault{}
	for _, f := range run.Faults {
		last[f.ID] = f.Fault
	}
	for id, want := range map[string][]string{
		"late": {"front-1 -> back-1", "front-1 -> back-2", "front-2 -> back-1", "front-2 -> back-2"},
		"one":  {"back-2"},
		"all":  {"back-1", "back-2"},
	} {
		assert.Equal(t, record.FaultGone, last[id].State, id)
		assert.Equal(t, want, last[id].Hits(), id)
	}
	assert.Equal(t, uint64(2), last["all"].Receipt.Hits)
	assert.Equal(t, uint64(1), last["one"].Receipt.Hits)
	killed := map[string]int{}
	for _, p := range run.Processes {
		if p.Event == "killed" {
			killed[p.Service]++
		}
	}
	assert.Equal(t, map[string]int{"back-1": 1, "back-2": 2}, killed)

	seen := map[string]bool{}
	for _, x := range run.Exchanges {
		seen[x.Edge] = true
	}
	for _, e := range cfg.System.Spec.Edges {
		assert.True(t, seen[e.Name()], "%s is used: every instance calls every instance through a proxy", e.Name())
	}
	require.NotEmpty(t, run.Audit)
	assert.Contains(t, run.Audit[0].ID, filepath.Join("data", "back"), "one reading of the books that the instances share")
	assert.Len(t, run.Audit, 1)

	result := cfg.Judge.Judge(t.Context(), run)
	for _, f := range result.Findings {
		if f.ID != "load" { // the machine may be too busy for the generator
			assert.Equal(t, verdict.Pass, f.Verdict, "%s: %s", f.ID, f.Why)
		}
	}
}
