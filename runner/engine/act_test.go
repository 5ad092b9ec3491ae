package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

const stepsScenario = `apiVersion: squall/v1
kind: Scenario
metadata: {name: pool}
spec:
  hypothesis: The pool can be told something.
  system: system.yaml
  load: {script: load.js, arrival: 20/s}
  phases: {warmup: 100ms, baseline: 1s, fault: 2s, recovery: 1s}
  steps:
    - {id: tell, at: 500ms, http: {service: back, path: /ready}}
    - {id: note, during: recovery, command: {run: [sh, -c, 'echo "$WHERE"'], env: {WHERE: '${front.http}'}}}
  steady:
    - {id: up, promql: 'min(up)', atLeast: 1, minSamples: 1}
  expect:
    - {id: alive, http: {service: front, path: /ready, every: 200ms}}
    - {id: always, http: {edge: client -> front, path: /work, every: 300ms}, during: run}
    - {id: asked, command: {run: [echo, hello], at: 300ms, contains: hello}}
`

// What a scenario does and wants to know is done, looked at and recorded, on
// every instance that it means.
func TestStepsAndLooks(t *testing.T) {
	cfg := configOf(t, stepsScenario)
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	assert.Equal(t, record.EndDone, end.Reason, end.Error)
	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)

	var steps []string
	for _, s := range run.Steps {
		steps = append(steps, s.ID+" "+string(s.State))
	}
	assert.Equal(t, []string{"tell begun", "tell done", "note begun", "note done"}, steps)
	assert.Regexp(t, `^127.0.0.1:\d+,127.0.0.1:\d+\n$`, run.Steps[3].Text, "all instances of a service")

	on := map[string]int{}
	fault, _ := run.Phase("fault")
	for _, p := range run.Probes {
		on[p.Name+" "+p.On]++
		if p.Name == "asked" {
			assert.GreaterOrEqual(t, p.Asked().Milliseconds(), (fault.From).Milliseconds()+300)
		}
	}
	assert.GreaterOrEqual(t, on["alive front-1"], 5)
	assert.GreaterOrEqual(t, on["alive front-2"], 5)
	assert.GreaterOrEqual(t, on["always client -> front"], 8, "in three phases")
	assert.Equal(t, 1, on["asked echo"])
	for _, f := range cfg.Judge.Judge(t.Context(), run).Findings {
		if f.Kind == "http" || f.Kind == "command" || f.ID == "step-done:tell" || f.ID == "step-done:note" {
			assert.Equal(t, verdict.Pass, f.Verdict, "%s: %s", f.ID, f.Why)
		}
	}
}

// A step that fails ends the run as an error, and the rest of it is not done.
func TestStepFails(t *testing.T) {
	cfg := configOf(t, stepsScenario)
	cfg.Plan.Actions[0].Act.HTTP.Path = "/nothing"
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	assert.Equal(t, record.EndError, end.Reason)
	assert.Contains(t, end.Error, "step tell: back-1: status 404")
	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	assert.Equal(t, record.StepFailed, run.Steps[len(run.Steps)-1].State)
}

const brokenScenario = `apiVersion: squall/v1
kind: Scenario
metadata: {name: pool}
spec:
  hypothesis: Looks see the fault and nothing else.
  system: system.yaml
  load: {script: load.js, arrival: 20/s}
  phases: {warmup: 100ms, baseline: 500ms, fault: 1s, recovery: 500ms}
  faults:
    - {id: broken, kind: http-error, on: client -> front, params: {status: 503}}
  steady:
    - {id: up, promql: 'min(up)', atLeast: 1, minSamples: 1}
  expect:
    - {id: refused, http: {edge: client -> front, path: /work, status: 503, every: 50ms}}
`

// Looks during a fault are made while it is in force: not in the moment before
// it is in, and not while it is taken out.
func TestLooksBeginWithTheFaultAndEndBeforeIt(t *testing.T) {
	cfg := configOf(t, brokenScenario)
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, record.EndDone, end.Reason, end.Error)
	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	looks := slices.DeleteFunc(run.Probes, func(p record.ProbeEvent) bool { return p.Name != "refused" })
	assert.Greater(t, len(looks), 5)
	at := map[record.FaultState]time.Duration{}
	for _, f := range run.Faults {
		at[f.State] = f.T
	}
	for _, p := range looks {
		assert.InDelta(t, 503, p.Value, 0)
		assert.Greater(t, p.Asked(), at[record.FaultInjected])
		assert.Less(t, p.T, at[record.FaultReverted])
	}
}
