package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/inject"
	"squall/runner/targets/ports"
	"squall/runner/targets/remote"
	"squall/runner/watchdog"
	"squall/scenarios/spec"
)

// A runner that is killed with -9 while a hook's fault stands: the watchdog, a
// process of its own, starts the service again. The runner here is a shell that
// only holds the lease.
func TestWatchdogRevertsForASilentRunner(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "service")
	require.NoError(t, os.WriteFile(state, []byte("dead"), 0o600))
	sys, problems := spec.ParseSystem("system.yaml", []byte(strings.ReplaceAll(`apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    orders:
      at: {http: "127.0.0.1:1"}
      hooks:
        state: [cat, FILE]
        kill: {do: ["false"], undo: [sh, -c, "echo running 2 > FILE"]}
  edges:
    client -> orders: {protocol: http, env: ORDERS_URL}
`, "FILE", state)))
	require.Empty(t, problems)
	sys, problems = sys.With()
	require.Empty(t, problems)
	env := remote.New(remote.Config{System: sys, Getenv: os.Getenv})

	cmd := squall(t, dir, "watchdog", "--beside")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var hello watchdog.Greeting
	require.NoError(t, json.Unmarshal(line, &hello))

	dog := watchdog.NewClient(hello.URL, hello.Token)
	require.ErrorContains(t, watchdog.NewClient(hello.URL, "guess").Renew(t.Context(), "run", time.Second), "401")
	require.NoError(t, dog.Renew(t.Context(), "run", 10*time.Second))
	undo := json.RawMessage(`{"process":{"pid":1,"start":1}}`)
	text, err := json.Marshal(inject.Line{ID: "k", Kind: "proc-kill", On: "orders", Step: inject.StepIntent, Undo: undo, Locator: env.Locator(), By: "runner"})
	require.NoError(t, err)
	require.NoError(t, dog.Note(t.Context(), "run", text))
	require.ErrorContains(t, dog.Done(t.Context(), "run"), "1 faults of run are not undone")
	require.NoError(t, dog.Renew(t.Context(), "run", 200*time.Millisecond), "and then nothing more is heard of the runner")

	require.NoError(t, cmd.Wait(), "it ends once nobody is left to guard")
	now, err := os.ReadFile(state)
	require.NoError(t, err)
	assert.Equal(t, "running 2\n", string(now))
	left, err := filepath.Glob(filepath.Join(dir, "state", "watchdog", "*", "*"))
	require.NoError(t, err)
	assert.Empty(t, left, "no journal is left")
}

// squall is this test binary as squall, with a state folder below dir.
func squall(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("squall", args...) // on PATH by testscript.Main
	cmd.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(dir, "state"))
	cmd.Stderr = os.Stderr
	return cmd
}

// toxiproxyServer runs Shopify's own, as a process, and returns its API.
func toxiproxyServer(t *testing.T) (api string) {
	t.Helper()
	bin, err := exec.Command("go", "tool", "-n", "github.com/Shopify/toxiproxy/v2/cmd/server").Output()
	require.NoError(t, err)
	free := ports.New()
	defer free.ReleaseAll()
	addr, err := free.Take()
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	free.Release(addr)
	cmd := exec.Command(strings.TrimSpace(string(bin)), "-host", host, "-port", port, "-proxy-metrics")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	api = "http://" + addr
	require.Eventually(t, func() bool {
		resp, err := http.Get(api + "/version")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	return api
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}
