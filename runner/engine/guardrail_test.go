package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
	"squall/runner/record"
	"squall/runner/verdict"
)

// refusing is a fault that makes every call of the front fail, for ten seconds.
const refusing = `apiVersion: squall/v1
kind: Scenario
metadata: {name: pool}
spec:
  hypothesis: The pool survives.
  system: system.yaml
  load: {script: load.js, arrival: 20/s}
  phases: {warmup: 300ms, baseline: 1500ms, fault: 10s, recovery: 2500ms}
  faults:
    - {id: away, kind: net-down, on: front -> back}
  steady:
    - {id: up, promql: 'min(up)', atLeast: 1}
  expect:
    - {id: answers, slo: answered, atLeast: 90%, minSamples: 20}
  guardrails: [GUARDRAIL]
`

const tooMany = `sum(increase(refused_total[1s] anchored))`

func refusingConfig(t *testing.T, guardrail string) Config {
	return configOf(t, strings.ReplaceAll(refusing, "GUARDRAIL", guardrail))
}

// From the breach of a guardrail to the last fault gone it takes less than a
// second. The breach is found in the record, as densely as it can be.
func TestGuardrailEndsTheRunWithinASecond(t *testing.T) {
	var took time.Duration
	for range 3 { // the bound is a promise about Squall, not about a machine that stands still for a while
		cfg := refusingConfig(t, "{id: too-many, promql: 'sum(increase(refused_total[$window]))', above: 10, for: 1s, minSamples: 3}")
		end, err := Run(t.Context(), cfg)
		require.NoError(t, err)
		require.Equal(t, record.EndAborted, end.Reason, end.Error)
		assert.Empty(t, end.Dirty)
		run, err := record.Open(cfg.Record.Dir())
		require.NoError(t, err)
		last := run.Faults[len(run.Faults)-1]
		require.Equal(t, record.FaultGone, last.State)
		if took = last.T - breach(t, run); took <= time.Second {
			break
		}
	}
	t.Logf("from breach to gone: %s", took)
	assert.LessOrEqual(t, took, time.Second)
}

// breach is the first instant at which the record shows too many refused calls.
func breach(t *testing.T, run *record.Run) time.Duration {
	t.Helper()
	store, err := metrics.Load(run.Scrapes)
	require.NoError(t, err)
	from, ok := run.Phase("baseline")
	require.True(t, ok)
	all, err := metrics.NewEngine().Range(context.Background(), store, tooMany, run.Time(from.From), run.Time(run.Last), 10*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, all, 1)
	for _, p := range all[0].Points {
		if p.V > 10 {
			return p.T.Sub(run.Header.Started)
		}
	}
	require.Fail(t, "no breach in the record", fmt.Sprint(all[0].Points))
	return 0
}

// A fault phase in which all is lost ends before its time; what it says is what
// the whole phase would have said.
func TestLostFaultPhaseEndsEarly(t *testing.T) {
	cfg := refusingConfig(t, "")
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, record.EndDone, end.Reason, end.Error)
	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	span, ok := run.Phase("fault")
	require.True(t, ok)
	assert.Less(t, span.To-span.From, 9500*time.Millisecond)
	var notes []string
	for _, n := range run.Notes {
		notes = append(notes, n.Text)
	}
	assert.Contains(t, notes, "the fault phase ends early: no rest of it could change a verdict")
	for _, f := range cfg.Judge.Judge(t.Context(), run).Findings {
		if f.ID == "answers" {
			assert.Equal(t, verdict.Fail, f.Verdict, f.Why)
		}
	}
}
