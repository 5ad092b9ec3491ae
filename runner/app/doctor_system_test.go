package app

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

func TestDoctorOfASystem(t *testing.T) {
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}))
	defer late.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"orders":{"name":"orders","listen":"127.0.0.1:1","upstream":"x:1","enabled":true,"toxics":[]}}`))
	}))
	defer api.Close()
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("up{job=\"orders\"} 1\n"))
	}))
	defer prometheus.Close()
	file := filepath.Join(t.TempDir(), "system.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer("AT", late.Listener.Addr().String(), "http://PROM", prometheus.URL, "API", api.URL).Replace(`apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  watchdog: {url: "http://127.0.0.1:1", tokenEnv: DOG_TOKEN}
  prometheus: {url: "http://PROM", match: [up], tokenEnv: PROM_TOKEN}
  services:
    orders:
      at: {http: "AT", gone: "127.0.0.1:1"}
      ready: {http: /ready}
      hooks: {state: [echo, dead], kill: {do: ["true"], undo: ["true"]}, env: [HOOK_SECRET]}
  edges:
    client -> orders: {protocol: http, env: ORDERS_URL, through: {toxiproxy: API, proxy: orders}}
`)), 0o600))
	a := &app{Process: Process{Env: func(name string) string {
		return map[string]string{"HOOK_SECRET": "planted", "PATH": os.Getenv("PATH")}[name]
	}}}
	found, err := a.diagnoseFile(t.Context(), file)
	require.NoError(t, err)
	says := map[string]string{}
	for _, d := range found {
		says[d.mark()+" "+d.what] += d.says
		assert.NotContains(t, d.says, "planted", "a credential is never told")
	}
	assert.Contains(t, says["MISS credential"], "DOG_TOKEN is not set: it is for the watchdog")
	assert.Contains(t, says["MISS credential"], "PROM_TOKEN is not set: it is for the Prometheus server")
	assert.Contains(t, says["ok prometheus"], "has 1 series of up")
	assert.Contains(t, says["ok credential"], "HOOK_SECRET is set")
	assert.Contains(t, says["ok edge client -> orders"], "proxy orders")
	assert.Contains(t, says["MISS service orders"], "it is dead, expected running")
	assert.Contains(t, says["MISS address orders.gone"], "refused")
	assert.Contains(t, says["ok address orders.http"], "takes connections")
	assert.Contains(t, says["MISS ready orders"], "its clock is off by -1h0m0s")
}
