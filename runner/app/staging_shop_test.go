package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/proxy"
	"squall/runner/targets/process"
)

// newStagingShop starts the shop as somebody else's, one instance of each service,
// and returns a remote system file, with SLOs in a folder beside it, that lists of
// the shop what its days touch.
func newStagingShop(t *testing.T) string {
	t.Helper()
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	declared, err := os.ReadFile(filepath.Join(repo, "sample-system", "system.yaml"))
	require.NoError(t, err)
	text := strings.NewReplacer("../bin/", filepath.Join(repo, "bin")+"/", "      replicas: 2\n", "", "  slos: [slo]\n", "",
		"  alerts: [observability/alerts.yml]\n", "").Replace(string(declared))
	file := filepath.Join(dir, "shop.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	squall := func(args ...string) {
		cmd := exec.Command(filepath.Join(repo, "bin", "squall"), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "SQUALL_STATE="+state)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	squall("up", file)
	t.Cleanup(func() { squall("down") })
	envs, err := process.List(state)
	require.NoError(t, err)
	require.Len(t, envs, 1)
	return stagingShop(t, state, envs[0])
}

func stagingShop(t *testing.T, state string, env process.Info) string {
	t.Helper()
	hook, err := exec.LookPath("squall-test-hook")
	require.NoError(t, err)
	var proxies map[string]proxy.Proxy
	require.NoError(t, json.Unmarshal([]byte(fetch(t, env.ProxyURL+"/proxies")), &proxies))
	through := func(edge string) string {
		for name, p := range proxies {
			if p.Edge == edge {
				return fmt.Sprintf(`through: {squall: %q, proxy: %q}`, env.ProxyURL, name)
			}
		}
		require.Fail(t, "no proxy", "%s: %+v", edge, proxies)
		return ""
	}
	at := map[string]string{}
	for _, s := range env.Services {
		at[s.Name] = strings.TrimPrefix(s.URL, "http://")
	}
	command := func(verb string) string { return fmt.Sprintf("[%q, %q, payments, %s]", hook, state, verb) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `apiVersion: squall/v1
kind: System
metadata: {name: staging-shop}
spec:
  target: remote
  defaults: {ports: [ops], port: ops, metrics: /metrics}
  services:
    gateway: {at: {ops: %q}}
    orders: {at: {ops: %q}}
    payments:
      at: {ops: %q}
      hooks: {state: %s, kill: {do: %s, undo: %s}}
  edges:
    client -> gateway: {protocol: http, env: GATEWAY_URL, port: ops, %s}
    gateway -> orders: {protocol: http, env: ORDERS_URL, port: ops, %s}
  slos: [slo]
  approvers: [{name: ana, key: "ANA"}]
  limits: {stand: 10m, approvals: {high: 1}}
`, at["gateway"], at["orders"], at["payments"], command("state"), command("kill"), command("start"),
		through("client -> gateway"), through("gateway -> orders"))
	return b.String()
}

// hook is what the people of staging have to look after a service with:
// squall-test-hook STATE-FOLDER SERVICE state|kill|start.
func hook() {
	err := func() error {
		ctx := context.Background() // whoever calls it ends it
		envs, err := process.List(os.Args[1])
		if err != nil || len(envs) != 1 {
			return fmt.Errorf("%d systems: %w", len(envs), err)
		}
		env, err := process.Attach(ctx, envs[0].Locator)
		if err != nil {
			return err
		}
		target, err := env.Target(os.Args[2])
		if err != nil {
			return err
		}
		service := target.(faults.Process)
		id, err := service.Identity(ctx)
		dead := errors.Is(err, faults.ErrNotRunning)
		if err != nil && !dead {
			return err
		}
		switch verb := os.Args[3]; {
		case verb == "start":
			return service.Start(ctx)
		case verb == "kill" && !dead:
			return service.Signal(ctx, id, "KILL")
		case dead:
			fmt.Println("dead")
		default:
			fmt.Println("running", id.PID, id.Start)
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
