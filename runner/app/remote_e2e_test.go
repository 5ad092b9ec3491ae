//go:build e2e

package app_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Somebody else's Toxiproxy server, with a toxic of theirs and a proxy that they
// have disabled, is byte for byte as before after a run that passed, and after
// one whose runner was killed: then the watchdog has reverted.
func TestE2EStockToxiproxyAfterAnyEnd(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	api := toxiproxyServer(t)
	at := web.Listener.Addr().String()
	post(t, api+"/proxies", `{"name":"web","listen":"127.0.0.1:0","upstream":"`+at+`","enabled":true}`)
	post(t, api+"/proxies", `{"name":"theirs","listen":"127.0.0.1:0","upstream":"`+at+`","enabled":false}`)
	post(t, api+"/proxies/web/toxics", `{"name":"monday","type":"latency","attributes":{"latency":2}}`)
	before := fetch(t, api+"/proxies")

	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	script, err := os.ReadFile("../squalltest/testdata/ask.js")
	require.NoError(t, err)
	write("ask.js", string(script))
	write("system.yaml", `apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    web: {at: {http: "`+at+`"}}
  edges:
    client -> web: {protocol: http, env: API_URL, through: {toxiproxy: "`+api+`", proxy: web}}
`)
	scenario, err := os.ReadFile("../squalltest/testdata/store-slow.yaml")
	require.NoError(t, err)
	text := strings.NewReplacer("on: api -> store", "on: client -> web", "declared by the test", "system.yaml").Replace(string(scenario))
	write("short.yaml", text)
	write("long.yaml", strings.Replace(text, "fault: 5s", "fault: 60s", 1))

	pass := squall(t, dir, "run", "--output", "plain", "--out", filepath.Join(dir, "out"), filepath.Join(dir, "short.yaml"))
	said, err := pass.Output()
	require.NoError(t, err, string(said))
	assert.Equal(t, before, fetch(t, api+"/proxies"), "after a pass")

	killed := squall(t, dir, "run", "--output", "plain", "--out", filepath.Join(dir, "out"), filepath.Join(dir, "long.yaml"))
	require.NoError(t, killed.Start())
	require.Eventually(t, func() bool { return strings.Contains(fetch(t, api+"/proxies"), "squall.slow") }, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	require.Eventually(t, func() bool { return fetch(t, api+"/proxies") == before }, 20*time.Second, 50*time.Millisecond, "the watchdog reverts")
	said, err = squall(t, dir, "heal").Output()
	require.NoError(t, err)
	assert.Contains(t, string(said), "nothing is left broken")
}

func post(t *testing.T, url, body string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Less(t, resp.StatusCode, 300)
}
