package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/verdict"
)

// ownTraffic is a scenario without load, on a system whose driver asks all the time.
const ownTraffic = `apiVersion: squall/v1
kind: Scenario
metadata: {name: others}
spec:
  hypothesis: Those who use the system anyway are served.
  system: system.yaml
  phases: {warmup: 500ms, baseline: 2s, fault: LENGTH, recovery: 3s}
  faults: [{id: broken, FAULT}]
  steady: [{id: up, promql: min(up), atLeast: 1, minSamples: 1}]
  expect:
    - {id: asked, promql: 'sum(increase(calls_total[$window]))', above: LEAST}
EXPECT
  guardrails: [GUARDRAIL]
`

// others writes that scenario and returns the command that runs it.
func (b *dayBench) others(fault, length, least, expect, guardrail string) []string {
	b.write("others.yaml", strings.NewReplacer("FAULT", fault, "LENGTH", length, "LEAST", least, "EXPECT", expect, "GUARDRAIL", guardrail).Replace(ownTraffic))
	return []string{"run", "--output", "plain", "others.yaml"}
}

// judged is the verdict of the latest run.
func (b *dayBench) judged() (res verdict.Result) {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "out", "latest", "others", "verdict.json"))
	require.NoError(b.t, err)
	require.NoError(b.t, json.Unmarshal(text, &res))
	return res
}

// A system that is used anyway needs no load of ours, and no k6: what the proxies
// see and what its services measure is the evidence. Where nobody uses it, nothing
// is known.
func TestTrafficThatIsNotOurs(t *testing.T) {
	b := newStagingBench(t, keptGuardrail)
	b.env = append(b.env, "SQUALL_K6=/nowhere")
	const fault = "kind: net-latency, on: driver -> front, params: {latency: 600ms}"
	run := b.others(fault, "5s", "3",
		"    - {id: waits, timeout: {edge: driver -> front, waitAtMost: 1s}, minSamples: 4}", "")
	out, code := b.run(run...)
	require.Equal(t, app.ExitPass, code, out)
	traffic := func() (f verdict.Finding) {
		for _, f = range b.judged().Findings {
			if f.ID == verdict.LoadLaw {
				return f
			}
		}
		return f
	}
	assert.Equal(t, "others used the system in every phase", traffic().Why)
	assert.Greater(t, traffic().Samples, 20)

	b.leave()
	out, code = b.run(b.others(fault, "2s", "-1", "", "")...)
	assert.Equal(t, app.ExitInconclusive, code, out)
	assert.Equal(t, "nobody used the system in phase baseline", traffic().Why)
}

// Somebody else's Toxiproxy server, with a toxic of theirs and a proxy that they
// have disabled, is byte for byte as before however a run ends: the killed
// runner's faults are reverted by the watchdog.
func TestStockToxiproxyAfterAnyEnd(t *testing.T) {
	b := newStagingBench(t, keptGuardrail)
	b.env = append(b.env, "SQUALL_K6=/nowhere")
	post(t, b.stock+"/proxies", `{"name":"theirs","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":false}`)
	post(t, b.stock+"/proxies/back/toxics", `{"name":"monday","type":"latency","attributes":{"latency":2}}`)
	before := fetch(t, b.stock+"/proxies")
	const down, slow = "kind: net-down, on: front -> back", "kind: net-latency, on: front -> back, params: {latency: 40ms}"
	for _, end := range []struct {
		name, fault, least, guardrail string
		stop                          os.Signal // while the fault stands; nil: the run ends by itself
		code                          int
	}{
		{"pass", slow, "10", "", nil, app.ExitPass},
		{"fail", down, "100000", "", nil, app.ExitFail},
		{"guardrail", down, "10", brokenGuardrail, nil, app.ExitAborted},
		{"interrupt", slow, "10", "", os.Interrupt, app.ExitInterrupted},
		{"kill -9", down, "10", "", os.Kill, -1},
	} {
		t.Run(end.name, func(t *testing.T) {
			length := "2s"
			if end.guardrail != "" || end.stop != nil {
				length = "60s"
			}
			cmd := b.command(b.others(end.fault, length, end.least, "", end.guardrail)...)
			said := new(strings.Builder)
			cmd.Stdout, cmd.Stderr = said, said
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			if end.stop != nil {
				require.Eventually(t, func() bool { return strings.Contains(fetch(t, b.stock+"/proxies"), "squall.broken") }, 30*time.Second, 20*time.Millisecond)
				require.NoError(t, cmd.Process.Signal(end.stop))
			}
			_ = cmd.Wait() // its exit code says how it ended
			assert.Equal(t, end.code, cmd.ProcessState.ExitCode(), said)
			if end.stop == os.Kill {
				require.Eventually(t, func() bool { return fetch(t, b.stock+"/proxies") == before }, 20*time.Second, 20*time.Millisecond, "the watchdog reverts")
			}
			assert.Equal(t, before, fetch(t, b.stock+"/proxies"))
			out, code := b.run("heal")
			assert.Zero(t, code, out)
			assert.Contains(t, out, "nothing is left broken")
		})
	}
}

func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Less(t, resp.StatusCode, 300)
}
