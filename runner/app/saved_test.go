package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

const savedScenario = `apiVersion: squall/v1
kind: Scenario
metadata: {name: saved}
spec:
  hypothesis: It works.
  system: ../sys/system.yaml
  load: {script: load.js, arrival: 40/s}
  phases: {warmup: 1s, baseline: 6s, fault: 8s, recovery: 5s}
  faults: [{id: slow, kind: net-latency, on: client -> work, params: {latency: 1ms}}]
  steady: [{id: ok, slo: answered, atLeast: 90%}]
  expect: [{id: still-ok, slo: answered, atLeast: LEAST}]
  proves: [{defect: X1, by: still-ok}]
`

// Its program is nowhere: a saved run needs none.
const savedSystem = `apiVersion: squall/v1
kind: System
metadata: {name: s}
spec:
  target: process
  services:
    work: {command: [/no/such/program], ports: [http], defects: [X1, X2]}
  edges:
    client -> work: {protocol: http, env: WORK_URL}
  slos: [slo/answered.yaml]
  defects: {env: X, known: {X1: nothing succeeds, X2: nobody claims it}}
`

const savedSLO = `apiVersion: openslo/v1
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
  objectives: [{target: 0.9}]
`

func scenarioOf(least string) []byte {
	return bytes.ReplaceAll([]byte(savedScenario), []byte("LEAST"), []byte(least))
}

// saveRun writes the directory of a run in which operations take so many times
// 20 ms under the fault, and fail where there is a defect. The clock is the bubble's.
func saveRun(t *testing.T, dir string, slower float64, defects ...string) {
	t.Helper()
	for name, text := range map[string][]byte{
		"scenarios/saved.yaml": scenarioOf("90%"), "sys/system.yaml": []byte(savedSystem), "sys/slo/answered.yaml": []byte(savedSLO),
	} {
		file := filepath.Join(dir, "input", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, text, 0o600))
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Duration(crc32.ChecksumIEEE([]byte(dir))) * time.Microsecond) // no two runs begin at once
		w, err := record.Create(dir, record.Header{
			Run: "saved", Scenario: "saved", File: "scenarios/saved.yaml", Input: "scenarios/saved.yaml", System: "sys/system.yaml", Started: time.Now(), Seed: 1, Defects: defects,
			Rerun: "squall run --seed 1 scenarios/saved.yaml",
		})
		require.NoError(t, err)
		put := func(typ record.Type, v any) { require.NoError(t, w.Append(typ, v)) }
		fault := func(states ...record.FaultState) {
			for _, s := range states {
				put(record.TypeFault, record.Fault{ID: "slow", Kind: "net-latency", On: "client -> work", State: s, Receipt: &record.Receipt{Hits: 300, Unit: "requests"}})
			}
		}
		put(record.TypeLoad, record.Load{Event: "flowing", Arrival: 40})
		chance := rand.New(rand.NewPCG(uint64(slower*10), 1))
		done, good := 0, 0
		for _, p := range []struct {
			name  string
			lasts time.Duration
		}{{"warmup", time.Second}, {"baseline", 6 * time.Second}, {"fault", 8 * time.Second}, {"recovery", 5 * time.Second}} {
			put(record.TypePhase, record.Phase{Name: p.name, Event: "start"})
			factor := 1.0
			if p.name == "fault" {
				fault(record.FaultIntent, record.FaultInjected, record.FaultBiting)
				factor = slower
			}
			for end := w.Since() + p.lasts; w.Since() < end; time.Sleep(25 * time.Millisecond) {
				op := record.Operation{At: time.Now().UnixNano(), Name: "work", ID: fmt.Sprint(done), First: true, Outcome: record.OK}
				op.Dur = int64(factor * float64(20*time.Millisecond) * (1 + chance.Float64()/5))
				require.NoError(t, w.Put(record.Ops, op))
				require.NoError(t, w.Put(record.Metrics, counted(done, good)))
				done++
				if p.name != "fault" || len(defects) == 0 {
					good++
				}
			}
			if p.name == "fault" {
				fault(record.FaultReverted, record.FaultGone)
			}
			put(record.TypePhase, record.Phase{Name: p.name, Event: "end"})
		}
		require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	})
}

func counted(done, good int) record.Scrape {
	s := record.Scrape{At: time.Now().UnixNano(), Source: "k6", Up: true, V: []record.Value{{ID: 1, V: record.Float(good)}, {ID: 2, V: record.Float(done)}, {ID: 3, V: record.Float(done - good)}}}
	if done == 0 {
		s.New = []record.Series{
			{ID: 1, Type: "counter", Labels: map[string]string{"__name__": "squall_operations_total", "operation": "work", "outcome": "ok"}},
			{ID: 2, Type: "counter", Labels: map[string]string{"__name__": "k6_iterations_total"}},
			{ID: 3, Type: "counter", Labels: map[string]string{"__name__": "squall_operations_total", "operation": "work", "outcome": "failed"}},
		}
	}
	return s
}

// squall runs a command line as on a machine that has nothing but the run.
func squall(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Process{Args: args, Env: func(string) string { return "" }, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

// A run made on one machine is judged on another, by the checks it was made
// with and by edited ones: neither its folder nor its programs are there.
func TestJudgeOnAnotherMachine(t *testing.T) {
	home, away := t.TempDir(), t.TempDir()
	saveRun(t, filepath.Join(home, "run"), 1)
	require.NoError(t, os.Rename(filepath.Join(home, "run"), filepath.Join(away, "moved")))
	require.NoError(t, os.RemoveAll(home))
	t.Chdir(away)

	code, out, errs := squall(t, "judge", "moved")
	assert.Equal(t, ExitPass, code, out+errs)
	assert.Contains(t, out, "PASS")

	require.NoError(t, os.WriteFile("edited.yaml", bytes.ReplaceAll(scenarioOf("90%"), []byte("atLeast: 90%}]\n  expect: [{id: still-ok, slo: answered, atLeast: 90%"), []byte("atLeast: 90%}]\n  expect: [{id: still-ok, slo: answered, below: 50%")), 0o600))
	code, out, errs = squall(t, "judge", "moved", "--scenario", "edited.yaml")
	assert.Equal(t, ExitFail, code, out+errs)
	res, err := readResult("moved")
	require.NoError(t, err)
	assert.Contains(t, res.Sentence, "still-ok: answered was 100%, not below 50%")

	code, out, errs = squall(t, "judge", "moved")
	assert.Equal(t, ExitPass, code, out+errs, "the kept scenario is as it was")
}

func TestCompareCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, slower := range map[string]float64{"a": 1, "b": 1.02, "slow": 2} {
		saveRun(t, name, slower)
		code, out, errs := squall(t, "judge", name)
		require.Equal(t, ExitPass, code, out+errs)
	}
	code, out, errs := squall(t, "compare", "a", "b")
	assert.Equal(t, ExitPass, code, out+errs)
	assert.Contains(t, out, "2 as before")

	code, out, _ = squall(t, "compare", "a", "slow")
	assert.Equal(t, ExitFail, code, out)
	assert.Regexp(t, `✗ worse +fault +work median +21.. ms +43.. ms +2\.0. times`, out)
	code, out, _ = squall(t, "compare", "a", "slow", "--band", "150%")
	assert.Equal(t, ExitPass, code, out)

	code, out, _ = squall(t, "compare", "--output", "json", "a", "slow")
	assert.Equal(t, ExitFail, code)
	var got struct {
		Worse      bool
		Difference verdict.Difference
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.True(t, got.Worse)
	assert.Len(t, got.Difference.Assertions, 2)

	for i := range 4 {
		for name, slower := range map[string]float64{"before": 1, "after": 3} {
			dir := filepath.Join(name, fmt.Sprint(i))
			saveRun(t, dir, slower+float64(i)/100)
			code, out, errs := squall(t, "judge", dir)
			require.Equal(t, ExitPass, code, out+errs)
		}
	}
	code, out, errs = squall(t, "compare", "before", "after", "--html", "page.html")
	assert.Equal(t, ExitFail, code, errs)
	assert.Regexp(t, `B4 +saved`, out)
	assert.Regexp(t, `✗ worse +fault +work median`, out)
	assert.FileExists(t, "page.html")
	code, out, _ = squall(t, "compare", "a", "--", "after/0", "after/1")
	assert.Equal(t, ExitPass, code)
	assert.Contains(t, out, "too few repeats: 1 and 2 with enough data, 3 each are needed")

	code, _, errs = squall(t, "compare", "a", "b", "slow")
	assert.Equal(t, ExitUsage, code)
	assert.Contains(t, errs, "each side of --")
	saveRun(t, "broken", 1, "X1")
	_, _, _ = squall(t, "judge", "broken")
	code, _, errs = squall(t, "compare", "a", "--", "b", "broken")
	assert.Equal(t, ExitUsage, code)
	assert.Contains(t, errs, "one set of defects")
	require.NoError(t, os.Mkdir("empty", 0o755))
	code, _, errs = squall(t, "compare", "a", "empty")
	assert.Equal(t, ExitUsage, code)
	assert.Contains(t, errs, "holds none")

	code, _, errs = squall(t, "compare", "a", "nowhere")
	assert.Equal(t, ExitUsage, code, errs)
	code, _, errs = squall(t, "compare", "a", "b", "--band", "much")
	assert.Equal(t, ExitUsage, code)
	assert.Contains(t, errs, "--band")
}
