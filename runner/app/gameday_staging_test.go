package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults/proxy"
	"squall/runner/app"
	"squall/runner/record"
	"squall/runner/targets/ports"
)

// stagingSystem is somebody else's: a stock Toxiproxy server on one edge, a squall
// proxy on the other, and commands that end and start a service.
const stagingSystem = `apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  defaults: {ports: [http], port: http, metrics: /metrics}
  services:
    driver: {at: {http: "DRIVER"}}
    front: {at: {http: "FRONT"}}
    back:
      at: {http: "BACK"}
      hooks:
        state: [cat, "FILE"]
        kill: {do: [sh, -c, "echo dead > FILE"], undo: [sh, -c, "UNDO"]}
  edges:
    driver -> front: {protocol: http, env: NEXT_URL, through: {squall: "SQUALL", proxy: front, tokenEnv: STAGING_PROXY}}
    front -> back: {protocol: http, env: NEXT_URL, through: {toxiproxy: "STOCK", proxy: back}}
  approvers:
    - {name: ana, key: "ANA"}
    - {name: ben, key: "BEN"}
  limits: {stand: 5m, approvals: {low: 1, medium: 1, high: 1}, never: [proc-memory]}
`

// Faults on staging: neither has a lease, so that only a watchdog can end them
// for a runner that is gone.
const (
	proxyFault = "kind: net-down, on: front -> back"
	hookFault  = "kind: proc-kill, on: back"
)

// newHookBench is newStagingBench with a service that is ended, not its proxy.
func newHookBench(t *testing.T, guardrail string) *dayBench {
	t.Helper()
	b := newStagingBench(t, guardrail)
	b.day(guardrail, hookFault)
	return b
}

// newStagingBench is on the remote target: the same small system, which runs
// already and is not squall's, with a fault on the stock server.
func newStagingBench(t *testing.T, guardrail string) *dayBench {
	t.Helper()
	b := emptyDayBench(t)
	b.env = []string{"STAGING_PROXY=planted$ecret-of-staging"}
	b.write("back-runs", "running 1\n")
	none := func() string { return "" }
	back := httptest.NewServer((&node{next: none, down: b.backIs("dead\n")}).handler())
	t.Cleanup(back.Close)
	var toFront, toBack string
	front := httptest.NewServer((&node{next: func() string { return toBack }}).handler())
	t.Cleanup(front.Close)
	stock := toxiproxyServer(t)
	toBack = "http://" + proxyOn(t, stock, "", "back", "front -> back", back)
	squall := b.squallProxy()
	toFront = "http://" + proxyOn(t, squall, "planted$ecret-of-staging", "front", "driver -> front", front)
	d := &node{next: func() string { return toFront }}
	driver := httptest.NewServer(d.handler())
	t.Cleanup(driver.Close)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.drive(ctx) }()
	b.stock, b.leave = stock, func() { cancel(); <-ended }
	t.Cleanup(b.leave)

	b.system(strings.ReplaceAll(stagingSystem, "UNDO", "echo running 2 > FILE"), "DRIVER", driver.Listener.Addr().String(), "FRONT", front.Listener.Addr().String(), "BACK", back.Listener.Addr().String(),
		"FILE", filepath.Join(b.dir, "back-runs"), "SQUALL", squall, "STOCK", stock)
	b.day(guardrail, proxyFault)
	before := fetch(t, stock+"/proxies")
	b.healed = func() bool { return fetch(t, stock+"/proxies") == before && !b.backIs("dead\n")() }
	return b
}

// backIs tells what the file says that stands for the life of back.
func (b *dayBench) backIs(want string) func() bool {
	return func() bool {
		now, err := os.ReadFile(filepath.Join(b.dir, "back-runs"))
		return err == nil && string(now) == want
	}
}

// squallProxy starts a link proxy as somebody else would, and returns its API.
func (b *dayBench) squallProxy() string {
	b.t.Helper()
	cmd := b.command("proxy", "--listen", "127.0.0.1:0", "--token-env", "STAGING_PROXY")
	out, err := cmd.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, cmd.Start())
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(b.t, err)
	return strings.TrimSpace(strings.TrimPrefix(line, "proxy API on "))
}

// proxyOn has a server of proxies make one before a service, and returns its
// address. Its port is none that the kernel would give to a connection while the
// proxy refuses.
func proxyOn(t *testing.T, api, token, name, edge string, upstream *httptest.Server) string {
	t.Helper()
	free := ports.New()
	defer free.ReleaseAll()
	listen, err := free.Take()
	require.NoError(t, err)
	free.Release(listen)
	body, err := json.Marshal(proxy.Proxy{Name: name, Listen: listen, Upstream: upstream.Listener.Addr().String(), Enabled: true, Protocol: "http", Edge: edge})
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPost, api+"/proxies", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, 300)
	return listen
}

// An undo that fails is shouted, with the command that a person can run in its
// place: in the terminal, in the report and by heal, until it is done.
func TestGameDayShoutsWhatItCannotHeal(t *testing.T) {
	b := newHookBench(t, keptGuardrail)
	b.edit("system.yaml", `undo: [sh, -c, "echo`, `undo: [sh, -c, "test -e repaired || { echo no quota >&2; exit 1; }; echo`)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	g.bites()
	g.says("mitigated", "--as", "ben")
	run := g.ends(app.ExitDirty)
	require.NotEmpty(t, run.End.Dirty)
	failed := 0
	for _, f := range run.Faults {
		if f.State == record.FaultFailed {
			failed++
		}
	}
	assert.Equal(t, 1, failed, "it is told once, however often it was tried")
	reasons := 0
	for _, h := range g.report().Timeline {
		reasons += strings.Count(h.Text, "no quota; by hand")
	}
	assert.Equal(t, 1, reasons, "and its reason stands once on the timeline")

	said := g.said()
	assert.Contains(t, said, "!!! NOT HEALED. This is still broken:\n!!!   fault away: proc-kill on back\n")
	assert.Contains(t, said, "no quota")
	found := regexp.MustCompile(`(?s)!!!   by hand:\n!!!     (sh -c '[^\n]+).*until it says that nothing is left broken:\n!!!   (SQUALL_STATE=[^\n]+ heal)\n`).FindStringSubmatch(said)
	require.Len(t, found, 3, said)
	byHand, heal := found[1], found[2]
	for _, file := range []string{"report.html", "summary.md"} {
		text, err := os.ReadFile(filepath.Join(g.runDir(), file))
		require.NoError(t, err)
		assert.Contains(t, html.UnescapeString(string(text)), byHand, file)
	}
	out, code := b.run("heal")
	assert.Equal(t, app.ExitDirty, code)
	assert.Contains(t, out, "by hand: "+byHand)
	out, code = b.run("gameday", "run", "small-day.plan.json")
	assert.Equal(t, app.ExitError, code)
	assert.Contains(t, out, "left something to undo")

	b.write("repaired", "") // as the commands are printed, they are run
	for _, line := range []string{byHand, heal} {
		sh := exec.Command("sh", "-c", line)
		sh.Dir, sh.Env = b.dir, b.command().Env
		said, err := sh.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, said)
	}
	assert.True(t, b.backIs("running 2\n")())
	g.nothingLeft()
}
