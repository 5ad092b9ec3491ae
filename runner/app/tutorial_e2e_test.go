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
	program := exec.Command("go", "build", "-o", filepath.Join(b.dir, "bin", "tutorial"), "./docs/tutorial")
	program.Dir = b.repo
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s", out)

	assert.Equal(t, []int{app.ExitFail, app.ExitPass}, b.follow(blocks(t, "../../docs/tutorial.md", "sh")[:4]))
	b.nothingLeft()
}

// The same for the page on compose projects, with the services in containers.
func TestE2EComposeProject(t *testing.T) {
	if exec.Command("docker", "info").Run() != nil {
		t.Skip("there is no docker")
	}
	b := newBench(t)
	for _, line := range []string{
		"cp docs/tutorial/docker-compose.yml docs/tutorial/Dockerfile " + b.dir,
		"CGO_ENABLED=0 go build -o " + b.dir + "/tutorial ./docs/tutorial",
		"DOCKER_BUILDKIT=0 docker build -q -t squall-tutorial " + b.dir,
	} {
		sh := exec.Command("bash", "-c", line)
		sh.Dir = b.repo
		out, err := sh.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, out)
	}
	assert.Equal(t, []int{app.ExitFail, app.ExitPass}, b.follow(blocks(t, "../../docs/how-to/compose.md", "sh")))
	b.nothingLeft()
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
