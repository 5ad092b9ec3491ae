//go:build aa

package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// What is allowed of AA_RUNS (100) runs.
const (
	falseFails = 0.01 // share of runs of identical systems that fail
	foundShare = 0.95 // share of runs in which the 95th percentile grew by half, and that say so
	atOnce     = 4    // runs, each on a system of its own
)

// aaScenario compares a service under a fault with itself before it. The fault
// is one that acts on every request; LATENCY says whether anybody can notice.
const aaScenario = `apiVersion: squall/v1
kind: Scenario
metadata: {name: aa}
spec:
  hypothesis: The service is as fast as it was.
  system: system.yaml
  load: {script: load.js, arrival: 80/s}
  phases: {warmup: 1s, baseline: 5s, fault: 5s, recovery: 3s}
  faults: [{id: slow, kind: net-latency, on: client -> work, params: {latency: LATENCY}}]
  steady: [{id: ok, slo: answered, atLeast: 90%}]
  expect:
    - {id: p95, compare: 'histogram_quantile(0.95, sum(rate(squall_operation_duration_seconds[$window])))', atMost: 1.15}
    - {id: mean, compare: 'histogram_avg(sum(rate(squall_operation_duration_seconds[$window])))', atMost: 1.15}
    - {id: served, compare: 'sum(rate(squall_operations_total[$window]))', atLeast: 0.9}
    - {id: still-ok, slo: answered, atLeast: 98%}
    - {id: below, promql: 'histogram_quantile(0.95, sum(rate(squall_operation_duration_seconds[$window])))', below: 1s}
`

// A service of one process, whose answers take a time with a tail.
const aaSystem = `apiVersion: squall/v1
kind: System
metadata: {name: aa}
spec:
  target: process
  services:
    work: {command: [PROGRAM], env: {SQUALL_BENCH_SERVE: "${self.http}"}, ports: [http], ready: {http: /}}
  edges:
    client -> work: {protocol: http, env: WORK_URL}
  slos: [slo.yaml]
`

const aaSLO = `apiVersion: openslo/v1
kind: SLO
metadata: {name: answered}
spec:
  service: work
  indicator:
    metadata: {name: answered}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total{outcome="ok"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total)'}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.98}]
`

const aaLoad = `
import http from 'k6/http';
import { operation } from 'k6/x/squall';
export const options = { scenarios: { work: {
  executor: 'constant-arrival-rate', rate: Number(__ENV.SQUALL_ARRIVAL), timeUnit: '1s',
  duration: __ENV.SQUALL_DURATION, preAllocatedVUs: 60, gracefulStop: '1s',
} } };
export default function () {
  const op = operation('work');
  const res = http.get(__ENV.WORK_URL + '/work', { headers: op.headers(), tags: { name: 'work' } });
  if (res.status === 200) op.ok(); else op.unknown(String(res.status));
}
`

// Two identical systems are not told apart: a delay of 50 microseconds is a
// fault that happens to every request and that nobody notices.
func TestSameAgainstSame(t *testing.T) {
	runs := aa(t, "50us")
	failed := count(runs, func(r verdict.Result) bool { return r.Verdict == verdict.Fail })
	assert.LessOrEqual(t, float64(failed), max(1, falseFails*float64(len(runs))), "runs that fail though nothing has changed")
}

// A 95th percentile that grows by half is found. The delay is half of what the
// 95th percentile is without it; what it really did is printed beside.
func TestHalfSlowerIsFound(t *testing.T) {
	runs := aa(t, fmt.Sprintf("%.0fms", workTail/2))
	found := count(runs, func(r verdict.Result) bool { return findingOf(r, "p95").Verdict == verdict.Fail })
	assert.GreaterOrEqual(t, float64(found), foundShare*float64(len(runs)), "runs that find it")
	assert.LessOrEqual(t, median(ratios(runs)), 1.55, "the shift is not larger than it says")
}

// aa runs the scenario as often as asked and returns what was judged. Runs that
// the machine starved of load say so, and count like the others.
func aa(t *testing.T, latency string) []verdict.Result {
	t.Helper()
	squall := os.Getenv("SQUALL_BIN")
	require.NotEmpty(t, squall, "SQUALL_BIN and SQUALL_K6 must name the binaries; run make aa")
	n, err := strconv.Atoi(os.Getenv("AA_RUNS"))
	require.NoError(t, err, "AA_RUNS")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"aa.yaml": strings.ReplaceAll(aaScenario, "LATENCY", latency), "system.yaml": strings.ReplaceAll(aaSystem, "PROGRAM", os.Args[0]),
		"slo.yaml": aaSLO, "load.js": aaLoad,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	cmd := exec.Command(squall, "run", "--seed", "1", "--repeat", fmt.Sprint(n), "--parallel", fmt.Sprint(atOnce), "--output", "json", "aa.yaml")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(dir, "state"))
	began := time.Now()
	said, err := cmd.CombinedOutput() // its exit code is a verdict
	files, globErr := filepath.Glob(filepath.Join(dir, "out", "2*", "aa*", "verdict.json"))
	require.NoError(t, globErr)
	require.Len(t, files, n, "%v: %s", err, said[max(0, len(said)-2000):])
	var runs []verdict.Result
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		var r verdict.Result
		require.NoError(t, json.Unmarshal(data, &r))
		runs = append(runs, r)
	}
	report(t, latency, runs, time.Since(began))
	return runs
}

func report(t *testing.T, latency string, runs []verdict.Result, took time.Duration) {
	verdicts := map[string]map[verdict.Verdict]int{"run": {}}
	for _, r := range runs {
		verdicts["run"][r.Verdict]++
		for _, f := range r.Findings {
			if f.Group == "expect" {
				if verdicts[f.ID] == nil {
					verdicts[f.ID] = map[verdict.Verdict]int{}
				}
				verdicts[f.ID][f.Verdict]++
			}
		}
		if r.Verdict != verdict.Pass {
			t.Log(r.Sentence)
		}
	}
	of := ratios(runs)
	t.Logf("%s: %d runs in %s: %v; 95th percentile %.2f times that of the baseline (%.2f to %.2f)", latency, len(runs), took.Round(time.Second),
		verdicts, median(of), slices.Min(of), slices.Max(of))
}

// ratios are how many times the baseline's the 95th percentile was measured.
func ratios(runs []verdict.Result) (all []float64) {
	for _, r := range runs {
		if in := findingOf(r, "p95").Interval; in != nil {
			all = append(all, math.Sqrt(float64(in.Low)*float64(in.High)))
		}
	}
	return all
}

func findingOf(r verdict.Result, id string) verdict.Finding {
	i := slices.IndexFunc(r.Findings, func(f verdict.Finding) bool { return f.ID == id })
	if i < 0 {
		return verdict.Finding{Interval: &verdict.Interval{Low: record.Float(1), High: record.Float(1)}}
	}
	return r.Findings[i]
}

func count(runs []verdict.Result, is func(verdict.Result) bool) (n int) {
	for _, r := range runs {
		if is(r) {
			n++
		}
	}
	return n
}
