//go:build e2e

package app_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/verdict"
)

// An experiment as somebody has it who used the Chaos Toolkit with Toxiproxy so far.
const experiment = `{
  "title": "The front is well again after a slow and then a dead stock",
  "steady-state-hypothesis": {"title": "The front answers", "probes": [
    {"type": "probe", "name": "front is well", "tolerance": 200, "provider": {"type": "http", "url": "http://front:8080/health"}}
  ]},
  "method": [
    {"type": "action", "name": "load", "background": true, "provider": {"type": "process", "path": "vegeta", "arguments": "attack -rate 20"}},
    {"type": "action", "name": "slow", "provider": {"type": "python", "module": "chaostoxi.toxic.actions", "func": "create_latency_toxic",
      "arguments": {"for_proxy": "stock", "toxic_name": "slow", "latency": 300}}, "pauses": {"after": 3}},
    {"type": "action", "name": "well", "provider": {"type": "python", "module": "chaostoxi.toxic.actions", "func": "delete_toxic",
      "arguments": {"for_proxy": "stock", "toxic_name": "slow"}}},
    {"type": "action", "name": "dead", "provider": {"type": "process", "path": "docker", "arguments": "kill stock"}},
    {"type": "probe", "name": "front is still well", "tolerance": 200, "provider": {"type": "http", "url": "http://front:8080/health"}}
  ],
  "rollbacks": [{"type": "action", "name": "alive", "provider": {"type": "process", "path": "docker", "arguments": "start stock"}}]
}`

// An imported experiment does what it did: both faults bite, the probes ask, and
// the system is as before.
func TestE2EImportedExperiment(t *testing.T) {
	b := newBench(t)
	program := exec.Command("go", "build", "-o", filepath.Join(b.dir, "bin", "tutorial"), "./docs/tutorial")
	program.Dir = b.repo
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "stock.json"), []byte(experiment), 0o600))
	for _, args := range [][]string{shellWords(commands(t, "../../docs/tutorial.md")[0])[1:], {"import", "chaostoolkit", "stock.json"}} {
		out, err := b.command(args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	code, res := b.run("squall/scenarios/stock.yaml")
	said, err := json.MarshalIndent(res, "", "  ")
	require.NoError(t, err)
	assert.Equal(t, app.ExitPass, code, "%s", said)
	judged := map[string]verdict.Verdict{}
	for _, f := range res.Findings {
		judged[f.ID] = f.Verdict
	}
	for _, id := range []string{"fault-bit:slow", "fault-bit:dead", "front-is-well", "front-is-well-2", "front-is-still-well", "recovers"} {
		assert.Equal(t, verdict.Pass, judged[id], id)
	}
}
