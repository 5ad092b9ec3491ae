//go:build e2e

package squalltest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/targets/docker"
	"squall/runner/verdict"
)

// witness is a test that is expected to fail: it keeps what was said.
type witness struct {
	*testing.T
	failures []string
}

func (w *witness) Errorf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// pair is an api and its store, which know nothing of Squall.
func pair(t *testing.T, w T) *System {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "foreign")
	cmd := exec.Command("go", "build", "-o", bin, "../targets/process/testdata/foreign")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	image, err := docker.ImageOf(context.Background(), "squall-test-foreign", bin)
	require.NoError(t, err)
	repository, tag, _ := strings.Cut(image, ":")
	pool, err := dockertest.NewPool("")
	require.NoError(t, err)
	network, err := pool.CreateNetwork("squalltest-" + filepath.Base(filepath.Dir(bin)) + "-" + t.Name())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, pool.RemoveNetwork(network)) })

	s := New(w, pool, network)
	run := func(role string, env ...string) *dockertest.Resource {
		r, err := pool.RunWithOptions(&dockertest.RunOptions{
			Name: role + "-" + strings.ToLower(rand.Text()[:6]), Repository: repository, Tag: tag, Cmd: []string{role}, Env: env, Networks: []*dockertest.Network{network},
		}, on(network), func(c *dc.HostConfig) { c.Tmpfs = map[string]string{"/data": ""} })
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, pool.Purge(r)) })
		return r
	}
	store := run("store")
	api := run("api", "STORE_URL=kv://nobody@"+s.Edge("api -> store", "tcp", name(store)+":7000")+"/main")
	s.Edge("client -> api", "http", name(api)+":8080")
	s.Service("store", store, map[string]string{"kv": "7000"})
	s.Service("api", api, map[string]string{"http": "8080"})
	return s
}

func name(r *dockertest.Resource) string { return strings.TrimPrefix(r.Container.Name, "/") }

func TestE2ESurvives(t *testing.T) {
	s := pair(t, t)
	result := s.Check("testdata/store-slow.yaml")
	assert.Equal(t, verdict.Pass, result.Verdict)
	assertNoToken(t, s)
}

// assertNoToken looks for the proxy's token in all that the test has left.
func assertNoToken(t *testing.T, s *System) {
	t.Helper()
	reports := 0
	require.NoError(t, filepath.WalkDir(filepath.Dir(t.TempDir()), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		assert.NotContains(t, string(text), s.token, path)
		if d.Name() == "report.html" {
			reports++
		}
		return err
	}))
	assert.Equal(t, 1, reports, "the report was looked into")
}

// An api without a fallback does not survive the death of its store, and the
// test says by which assertion.
func TestE2EBreaks(t *testing.T) {
	w := &witness{T: t}
	result := pair(t, w).Check("testdata/store-dead.yaml")
	assert.Equal(t, verdict.Fail, result.Verdict, result.Sentence)
	require.Len(t, w.failures, 1)
	assert.Contains(t, w.failures[0], "answered: ")
}
