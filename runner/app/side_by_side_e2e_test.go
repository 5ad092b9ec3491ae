//go:build e2e

package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/targets/process"
)

// foreignProject is somebody else's compose project, with fixed host names, a
// container name and published ports.
const foreignProject = `apiVersion: squall/v1
kind: System
metadata: {name: foreign}
spec:
  target: compose
  compose: {files: [fixed.yml]}
  services:
    store: {at: {kv: "7000"}, ready: {tcp: kv}}
    api: {at: {http: "8080"}, ready: {http: /ready}}
    front: {at: {http: "8080"}, ready: {http: /ready}}
  edges:
    client -> front: {protocol: http, env: FRONT_URL}
    front -> api: {protocol: http}
    api -> store: {protocol: tcp, port: kv}
`

// Two shops and a foreign compose project are up at the same time on one machine,
// where the ports that the project publishes are taken already. Each answers, and
// goes on when another one loses a service.
func TestE2ESideBySide(t *testing.T) {
	if exec.Command("docker", "info").Run() != nil {
		t.Skip("there is no docker")
	}
	b := newBench(t)
	for _, port := range []string{"7000", "8080"} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil { // or somebody else has taken it
			t.Cleanup(func() { _ = l.Close() })
		}
	}
	foreign := filepath.Join(b.repo, "runner", "targets", "process", "testdata", "foreign")
	sh := exec.Command("bash", "-ec", `mkdir data && touch data/keep && CGO_ENABLED=0 go build -C "$FOREIGN" -o "$DIR/foreign" . && cp "$FOREIGN"/fixed.yml "$FOREIGN"/Dockerfile .`)
	sh.Dir, sh.Env = b.dir, append(os.Environ(), "DIR="+b.dir, "FOREIGN="+foreign)
	out, err := sh.CombinedOutput()
	require.NoError(t, err, "%s", out)
	project := filepath.Join(b.dir, "foreign.yaml")
	require.NoError(t, os.WriteFile(project, []byte(foreignProject), 0o644))

	shop := filepath.Join(b.repo, "sample-system", "system.yaml")
	var up sync.WaitGroup
	for _, file := range []string{shop, shop, project} {
		up.Go(func() {
			out, err := b.command("up", file).CombinedOutput()
			assert.NoError(t, err, "%s: %s", file, out)
		})
	}
	up.Wait()
	t.Cleanup(func() { _ = b.command("down").Run() })
	require.False(t, t.Failed())
	systems, err := process.List(filepath.Join(b.dir, "state"))
	require.NoError(t, err)
	require.Len(t, systems, 3)
	served := func() (all []string) {
		for _, s := range systems {
			all = append(all, s.System+": "+served(s))
		}
		return all
	}
	want := []string{"foreign: pong", "shop: tea", "shop: tea"}
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.ElementsMatch(c, want, served()) }, 60*time.Second, 200*time.Millisecond)

	first := -1
	for i, s := range systems {
		if s.System == "shop" {
			first = i
		}
	}
	for _, svc := range systems[first].Services {
		if svc.Name == "gateway" {
			require.NoError(t, syscall.Kill(svc.PID, syscall.SIGKILL))
		}
	}
	require.Eventually(t, func() bool { return !strings.HasSuffix(served()[first], "tea") }, 20*time.Second, 50*time.Millisecond)
	want = []string{"foreign: pong", "shop: tea"}
	assert.Subset(t, served(), want)

	out, err = b.command("down").CombinedOutput()
	require.NoError(t, err, "%s", out)
	b.nothingLeft()
	left, err := exec.Command("docker", "ps", "-aq", "--filter", "name=squall-").Output()
	require.NoError(t, err)
	assert.Empty(t, string(left), "no container is left")
}

// served is what a customer of a system is given at its door.
func served(system process.Info) string {
	for _, e := range system.Edges {
		if !strings.HasPrefix(e.Name, "client -> ") {
			continue
		}
		path := "/"
		if system.System == "shop" {
			path = "/products/tea"
		}
		resp, err := (&http.Client{Timeout: 3 * time.Second}).Get("http://" + e.Listen + path)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		if path != "/" && resp.StatusCode == http.StatusOK && strings.Contains(string(text), `"price_cents"`) {
			return "tea"
		}
		return strings.TrimSpace(fmt.Sprintf("%.80s", text))
	}
	return "no door"
}
