//go:build e2e

package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// Whoever follows the tutorial sees red for the wait that it names, and green
// once the line that it names is changed.
func TestTutorial(t *testing.T) {
	b := newBench(t)
	program := exec.Command("go", "build", "-o", filepath.Join(b.dir, "bin", "tutorial"), "./docs/tutorial")
	program.Dir = b.repo
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var codes []int
	for _, block := range blocks(t, "../../docs/tutorial.md", "sh")[:4] {
		for _, line := range strings.Split(strings.ReplaceAll(block, "\\\n", " "), "\n") {
			if line == "" {
				continue
			}
			sh := exec.Command("bash", "-c", line)
			sh.Dir = b.dir
			sh.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(b.dir, "state"), "NO_COLOR=1",
				"PATH="+filepath.Join(b.repo, "bin")+":"+os.Getenv("PATH"))
			out, err := sh.CombinedOutput()
			if strings.HasPrefix(line, "squall run") {
				codes = append(codes, exitCode(err))
				continue
			}
			require.NoError(t, err, "%s\n%s", line, out)
		}
	}
	assert.Equal(t, []int{app.ExitFail, app.ExitPass}, codes)
	b.nothingLeft()
}
