package app

import (
	"encoding/binary"
	"net"
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
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer locked.Close()
	file := filepath.Join(t.TempDir(), "system.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer("AT", late.Listener.Addr().String(), "http://PROM", prometheus.URL, "API", api.URL,
		"http://LOCKED", locked.URL, "BOOKS_AT", refusingDatabase(t)).Replace(`apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  watchdog: {url: "http://LOCKED", tokenEnv: DOG_TOKEN}
  prometheus: {url: "http://PROM", match: [up], tokenEnv: PROM_TOKEN}
  services:
    orders:
      at: {http: "AT", gone: "127.0.0.1:1"}
      ready: {http: /ready}
      hooks: {state: [echo, dead], kill: {do: ["true"], undo: ["true"]}, env: [HOOK_SECRET]}
    stock:
      at: {http: "AT"}
      hooks: {state: [sh, -c, "echo $HOOK_SECRET has no permission >&2; false"], kill: {do: ["true"], undo: ["true"]}, env: [HOOK_SECRET]}
    books: {at: {db: "BOOKS_AT"}, database: {user: squall, name: books, passwordEnv: DB_PASSWORD, tls: disable}}
  edges:
    client -> orders: {protocol: http, env: ORDERS_URL, through: {toxiproxy: API, proxy: orders}}
    orders -> stock: {protocol: http, through: {squall: "http://LOCKED", proxy: stock, tokenEnv: PROXY_TOKEN}}
    client -> books: {protocol: postgres, env: BOOKS_URL, port: db}
`)), 0o600))
	a := &app{Process: Process{Env: func(name string) string {
		return map[string]string{"HOOK_SECRET": "planted", "PROXY_TOKEN": "planted-wrong", "DB_PASSWORD": "planted-wrong", "PATH": os.Getenv("PATH")}[name]
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
	assert.Contains(t, says["MISS service stock"], "[HOOK_SECRET] has no permission")
	assert.Contains(t, says["MISS edge orders -> stock"], "401")
	assert.Contains(t, says["MISS watchdog"], "401")
	assert.Contains(t, says["MISS database books"], "password authentication failed")
	assert.Contains(t, says["MISS address orders.gone"], "refused")
	assert.Contains(t, says["ok address orders.http"], "takes connections")
	assert.Contains(t, says["MISS ready orders"], "its clock is off by -1h0m0s")
}

// refusingDatabase is a PostgreSQL server that knows no password, and its address.
func refusingDatabase(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024)) // who wants in
			fields := "SFATAL\x00C28P01\x00Mpassword authentication failed\x00\x00"
			_, _ = conn.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields))), fields...))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// The docker of this test is a script: what the doctor makes of its answers is
// the same on a machine without any.
const fakeDocker = `#!/bin/sh
case "$*" in
"compose version --short") echo 2.40.3 ;;
"compose "*" config") cat "$FAKE/config.yml" ;;
"info "*)
  if [ -e "$FAKE/denied" ]; then echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1; fi
  echo '{"NCPU": 2, "MemTotal": 1073741824}' ;;
"image inspect "*" here") ;;
*) exit 1 ;;
esac
`

func TestDoctorOfAComposeProject(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	write("docker", fakeDocker, 0o755)
	write("config.yml", `services:
  front: {image: here}
  api: {image: nowhere}
  again: {image: nowhere}
  store: {image: mine, build: {context: .}}
`, 0o644)
	write("system.yaml", `apiVersion: squall/v1
kind: System
metadata: {name: shop}
spec:
  target: compose
  compose: {files: [compose.yml]}
  services:
    front: {at: {http: "80"}}
    api: {at: {http: "80"}}
    lost: {at: {http: "80"}}
  edges:
    client -> front: {protocol: http, env: FRONT_URL}
`, 0o644)
	t.Setenv("FAKE", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	a := &app{Process: Process{Env: os.Getenv}}
	says := func() map[string]string {
		found, err := a.diagnoseFile(t.Context(), filepath.Join(dir, "system.yaml"))
		require.NoError(t, err)
		says := map[string]string{}
		for _, d := range found {
			says[d.mark()+" "+d.what] += d.says
		}
		return says
	}
	assert.Equal(t, map[string]string{
		"ok docker": "2 cores, 1024 MiB", "ok compose": "docker compose", "ok project": "again, api, front, store",
		"MISS service lost": "the compose project has no service lost", "MISS image nowhere": "it is not here: build it or pull it first",
		"LACK image mine": "it is not here, and is built at the start",
	}, says())
	write("denied", "", 0o644)
	assert.Contains(t, says()["MISS docker"], "permission denied")
}
