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
func TestE2ETutorial(t *testing.T) {
	b := newBench(t)
	steps := blocks(t, "../../docs/tutorial.md", "sh")
	b.begin(steps[0])
	assert.Equal(t, []int{app.ExitFail, app.ExitPass}, b.follow(steps[1:5]))
	b.nothingLeft()
}

// The same for the page on compose projects, with the services in containers.
func TestE2EComposeProject(t *testing.T) {
	if exec.Command("docker", "info").Run() != nil {
		t.Skip("there is no docker")
	}
	b := newBench(t)
	steps := blocks(t, "../../docs/how-to/compose.md", "sh")
	b.begin(steps[0])
	assert.Equal(t, []int{app.ExitFail, app.ExitPass}, b.follow(steps[1:]))
	b.nothingLeft()
}

// begin does what a page says before its first command of squall, with an empty
// home, and goes on where that ends. The caches of Go are kept.
func (b *bench) begin(block string) {
	b.t.Helper()
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	require.NoError(b.t, err)
	cache, modules, _ := strings.Cut(strings.TrimSpace(string(caches)), "\n")
	sh := exec.Command("bash", "-ec", block+"\npwd >~/.here")
	sh.Env = append(os.Environ(), "HOME="+b.dir, "SQUALL="+b.repo, "GOCACHE="+cache, "GOMODCACHE="+modules, "DOCKER_BUILDKIT=0")
	out, err := sh.CombinedOutput()
	require.NoError(b.t, err, "%s\n%s", block, out)
	here, err := os.ReadFile(filepath.Join(b.dir, ".here"))
	require.NoError(b.t, err)
	b.dir = strings.TrimSpace(string(here))
}

// follow does what the blocks of a page say, and returns how its runs ended.
func (b *bench) follow(blocks []string) (codes []int) {
	b.t.Helper()
	for _, line := range strings.Split(strings.ReplaceAll(strings.Join(blocks, "\n"), "\\\n", " "), "\n") {
		if line == "" {
			continue
		}
		out, err := b.shell(line)
		if !strings.HasPrefix(line, "squall run") {
			require.NoError(b.t, err, "%s\n%s", line, out)
			continue
		}
		// A machine that starves the load shows nothing of the system, as for squall prove.
		for try := 1; exitCode(err) == app.ExitInconclusive && try < 3; try++ {
			b.t.Logf("%s\n%s", line, out)
			out, err = b.shell(line)
		}
		b.t.Logf("%s\n%s", line, out)
		codes = append(codes, exitCode(err))
	}
	return codes
}

// shell runs a line as somebody does who has squall on the path.
func (b *bench) shell(line string) ([]byte, error) {
	sh := exec.Command("bash", "-c", line)
	sh.Dir = b.dir
	sh.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(b.dir, "state"), "NO_COLOR=1",
		"PATH="+filepath.Join(b.repo, "bin")+":"+os.Getenv("PATH"))
	return sh.CombinedOutput()
}
