package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

func TestOneRunShowsAllClaimsOfADefect(t *testing.T) {
	claims := []spec.Prove{{Defect: "D16", By: "kept"}, {Defect: "D02"}, {Defect: "D16", By: "parked"}}
	assert.Equal(t, []string{"D02", "D16"}, defectsOf(claims))
}

// What was run before, by whichever command, is a proof without running anything.
func TestProveFromSavedRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(file, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write("scenarios/saved.yaml", string(scenarioOf("90%")))
	write("scenarios/load.js", "")
	write("sys/system.yaml", savedSystem)
	write("sys/slo/answered.yaml", savedSLO)
	prove := func() (int, string) {
		code, out, errs := squall(t, "prove", "--from", "runs", "--markdown", "PROOFS.md", "--junit", "proof.xml")
		return code, out + errs
	}

	code, out := prove()
	assert.Equal(t, ExitUsage, code, "no runs: %s", out)

	saveRun(t, "runs/monday/clean", 1)
	code, out = prove()
	assert.Equal(t, ExitFail, code, "the defect has not been seen")
	assert.Regexp(t, `X1 +saved +still-ok +unseen 0/0`, out)

	saveRun(t, "runs/monday/X1", 1, "X1")
	saveRun(t, "runs/tuesday/X1", 1, "X1")
	saveRun(t, "runs/tuesday/X2", 1, "X2") // which nobody claims
	require.NoError(t, os.CopyFS("runs/yesterday/X1", os.DirFS("runs/tuesday/X1")))
	write("scenarios/saved.yaml", "# Explained since.\n\n"+string(scenarioOf("90%")))
	code, out = prove()
	assert.Equal(t, ExitPass, code, out)
	assert.Regexp(t, `X1 +saved +still-ok +killed 2/2`, out, "a copy is no run of its own")
	assert.Contains(t, out, "3 of 3 weakened checks noticed")
	record, err := os.ReadFile("PROOFS.md")
	require.NoError(t, err)
	assert.Contains(t, string(record), "| X1 | nothing succeeds | saved | `still-ok` | killed | 2 of 2 |")
	assert.Contains(t, string(record), "- X2 nobody claims it")
	page, err := os.ReadFile("runs/proof.html")
	require.NoError(t, err)
	assert.Contains(t, string(page), `href="monday/X1/report.html"`)
	assert.FileExists(t, "proof.xml")

	write("scenarios/saved.yaml", string(scenarioOf("50%")))
	code, out = prove()
	assert.Equal(t, ExitUsage, code, "runs of another form of the scenario show nothing: %s", out)
	write("scenarios/saved.yaml", string(scenarioOf("90%")))
	write("runs/monday/clean/input/scenarios/saved.yaml", "edited")
	code, out = prove()
	assert.Equal(t, ExitFail, code, "nobody has seen it green any more")
	assert.Contains(t, out, "1 more were made with an earlier form of their scenario and left out")
}
