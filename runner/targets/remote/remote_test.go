package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/proxy"
	"squall/scenarios/spec"
)

// stockServer runs Shopify's own toxiproxy-server, as a process.
func stockServer(t *testing.T) stock {
	t.Helper()
	bin, err := exec.Command("go", "tool", "-n", "github.com/Shopify/toxiproxy/v2/cmd/server").Output() // built, and kept in the build cache
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host, port, _ := net.SplitHostPort(l.Addr().String())
	require.NoError(t, l.Close())
	cmd := exec.Command(strings.TrimSpace(string(bin)), "-host", host, "-port", port, "-proxy-metrics")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s := stock{"http://" + l.Addr().String()}
	require.Eventually(t, func() bool { _, err := s.proxies(t.Context()); return err == nil }, 20*time.Second, 20*time.Millisecond)
	return s
}

// shared is a server that somebody else uses: a proxy with a toxic of theirs, and
// one that they have disabled.
func shared(t *testing.T) (stock, *Environment) {
	t.Helper()
	s := stockServer(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(upstream.Close)
	for _, name := range []string{"orders", "theirs"} {
		require.NoError(t, s.call(t.Context(), "POST", "/proxies",
			map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": upstream.Listener.Addr().String(), "enabled": true}, nil))
	}
	require.NoError(t, s.addToxic(t.Context(), "orders", faults.Toxic{Name: "slow-monday", Type: "latency", Toxicity: 1, Stream: "upstream", Attributes: json.RawMessage(`{"latency":3}`)}))
	require.NoError(t, s.enable(t.Context(), "theirs", false))
	env := New(Config{System: system(t, strings.NewReplacer("API", s.api, "AT", upstream.Listener.Addr().String()).Replace(remoteSystem)), Owner: "run", Lease: time.Minute, Getenv: os.Getenv})
	require.NoError(t, env.Up(t.Context()))
	return s, env
}

const remoteSystem = `apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    orders: {at: {http: "AT"}}
  edges:
    client -> orders: {protocol: http, env: ORDERS_URL, through: {toxiproxy: API, proxy: orders}}
`

func system(t *testing.T, text string) *spec.System {
	t.Helper()
	declared, problems := spec.ParseSystem("system.yaml", []byte(text))
	require.Empty(t, problems)
	sys, problems := declared.With()
	require.Empty(t, problems)
	return sys
}

// raw is all that the server says, byte for byte.
func raw(t *testing.T, s stock) string {
	t.Helper()
	var text json.RawMessage
	require.NoError(t, s.call(t.Context(), "GET", "/proxies", nil, &text))
	return string(text)
}

func TestStockServerIsLeftAsItWas(t *testing.T) {
	s, env := shared(t)
	before := raw(t, s)
	latency := faults.Stage{Toxics: []faults.Toxic{{Type: "latency", Attributes: json.RawMessage(`{"latency":300}`)}}}
	for name, stage := range map[string]faults.Stage{
		"latency": latency, "refuse": {Mode: faults.LinkRefuse}, "hang": {Mode: faults.LinkHang}, "reset": {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := env.Target("client -> orders")
			require.NoError(t, err)
			link := target.(faults.Link)
			_, err = link.StageStatus(t.Context(), "f")
			require.ErrorIs(t, err, faults.ErrNoStage)
			require.NoError(t, link.PutStage(t.Context(), "f", stage))
			assert.NotEqual(t, before, raw(t, s), "it is there")
			begun := time.Now()
			_, err = (&http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}).Get(env.ClientEnv()["ORDERS_URL"])
			assert.True(t, err != nil || time.Since(begun) > 250*time.Millisecond, "and bites")
			st, err := link.StageStatus(t.Context(), "f")
			require.NoError(t, err)
			assert.NotZero(t, st.Receipt.Hits, st.Receipt)

			other, err := Attach(env.Locator(), os.Getenv)
			require.NoError(t, err)
			again, err := other.Target("client -> orders")
			require.NoError(t, err)
			require.NoError(t, again.(faults.Link).DeleteStage(t.Context(), "f"), "another process undoes it")
			require.NoError(t, again.(faults.Link).DeleteStage(t.Context(), "f"), "and again")
			assert.Equal(t, before, raw(t, s))
		})
	}
}

// The undo may be cut short anywhere: after the proxy was enabled, or with only
// the mark in place because the runner died before it disabled the proxy.
func TestHalfDoneOutageIsUndone(t *testing.T) {
	s, env := shared(t)
	before := raw(t, s)
	target, err := env.Target("client -> orders")
	require.NoError(t, err)
	toxics, down, err := translate("f", faults.Stage{Mode: faults.LinkRefuse})
	require.NoError(t, err)
	require.True(t, down)
	require.NoError(t, s.addToxic(t.Context(), "orders", toxics[0]))
	require.NoError(t, target.(faults.Link).DeleteStage(t.Context(), "f"))
	assert.Equal(t, before, raw(t, s))
}

func TestWhatOthersDisabledIsNotOurs(t *testing.T) {
	s, env := shared(t)
	require.NoError(t, s.enable(t.Context(), "orders", false))
	before := raw(t, s)
	target, err := env.Target("client -> orders")
	require.NoError(t, err)
	require.ErrorContains(t, target.(faults.Link).PutStage(t.Context(), "f", faults.Stage{Mode: faults.LinkRefuse}), "disabled already, by somebody else")
	require.NoError(t, target.(faults.Link).DeleteStage(t.Context(), "f"))
	assert.Equal(t, before, raw(t, s), "and stays disabled")
	require.ErrorContains(t, env.Up(t.Context()), "proxy orders is disabled, by somebody else")
}

func TestStockServerRefusesWhatItCannot(t *testing.T) {
	s, env := shared(t)
	before := raw(t, s)
	target, err := env.Target("client -> orders")
	require.NoError(t, err)
	err = target.(faults.Link).PutStage(t.Context(), "f", faults.Stage{HTTP: &faults.HTTPRule{}})
	require.ErrorContains(t, err, "put a squall proxy on the edge")
	assert.Equal(t, before, raw(t, s))
}

func TestTargetsThatResolveToNothing(t *testing.T) {
	s, _ := shared(t)
	env := New(Config{System: system(t, strings.NewReplacer("API", s.api, "AT", "127.0.0.1:1", "proxy: orders", "proxy: ordres").Replace(remoteSystem)), Getenv: os.Getenv})
	require.ErrorContains(t, env.Up(t.Context()), "there is no proxy ordres on "+s.api+", known: orders, theirs")
	_, err := env.Target("orders")
	require.ErrorContains(t, err, "nothing of that name may be touched")
}

func TestSquallProxyWantsItsToken(t *testing.T) {
	t.Setenv("PROXY_TOKEN", "planted-token")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- proxy.NewServer(proxy.Options{Token: "planted-token"}).Serve(ctx, l) }()
	defer func() { cancel(); require.NoError(t, <-served) }()
	api := "http://" + l.Addr().String()
	_, err = proxy.NewClient(api).Proxies(t.Context())
	require.ErrorContains(t, err, "unauthorized")
	_, err = proxy.NewClient(api).WithToken("planted-token").CreateProxy(t.Context(), proxy.Proxy{Name: "orders", Listen: "127.0.0.1:0", Upstream: l.Addr().String(), Enabled: true})
	require.NoError(t, err)

	text := strings.NewReplacer("toxiproxy: API", "squall: "+api+", tokenEnv: PROXY_TOKEN", "AT", l.Addr().String()).Replace(remoteSystem)
	env := New(Config{System: system(t, text), Owner: "run", Lease: time.Minute, Getenv: os.Getenv})
	require.NoError(t, env.Up(t.Context()))
	target, err := env.Target("client -> orders")
	require.NoError(t, err)
	require.NoError(t, target.(faults.Link).PutStage(t.Context(), "f", faults.Stage{Mode: faults.LinkRefuse, Owner: "run", Lease: time.Minute}))
	require.NoError(t, env.Renew(t.Context()))
	picture, err := env.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "orders/f", picture["stages of "+api])
	require.NoError(t, target.(faults.Link).DeleteStage(t.Context(), "f"))
	assert.NotContains(t, string(env.Locator()), "planted-token")
	assert.NotContains(t, fmt.Sprint(picture), "planted-token")
}

// hooked is a service that is a file with its state in it.
func hooked(t *testing.T) (*Environment, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.WriteFile(file, []byte("running 1"), 0o600))
	text := strings.ReplaceAll(`apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    orders:
      at: {http: "127.0.0.1:1"}
      hooks:
        state: [cat, FILE]
        kill: {do: [sh, -c, "echo dead > FILE"], undo: [sh, -c, "echo running 2 > FILE"]}
        pause: {do: [sh, -c, "echo stopped 1 > FILE"], undo: [sh, -c, "echo oops $SECRET >&2; false"]}
        env: [SECRET]
  edges:
    client -> orders: {protocol: http, env: ORDERS_URL}
`, "FILE", file)
	return New(Config{System: system(t, text), Owner: "run", Lease: time.Minute, Getenv: os.Getenv}), file
}

func TestHooks(t *testing.T) {
	t.Setenv("SECRET", "planted-secret")
	env, file := hooked(t)
	require.NoError(t, env.Up(t.Context()))
	target, err := env.Target("orders")
	require.NoError(t, err)
	p := target.(faults.Process)
	first, err := p.Identity(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Signal(t.Context(), first, "KILL"))
	state, err := p.State(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, "dead", state)
	require.ErrorIs(t, p.Signal(t.Context(), first, "KILL"), faults.ErrNotRunning)
	require.NoError(t, p.Start(t.Context()))
	second, err := p.Identity(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, first, second, "it is another start")
	state, err = p.State(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, "dead", state)

	require.NoError(t, p.Signal(t.Context(), second, "STOP"))
	third, err := p.Identity(t.Context())
	require.NoError(t, err)
	err = p.Signal(t.Context(), third, "CONT")
	require.ErrorContains(t, err, "oops [SECRET]", "what a hook prints is passed on without its secrets")
	assert.NotContains(t, err.Error(), "planted-secret")

	require.NoError(t, os.WriteFile(file, []byte("fine, thanks"), 0o600))
	require.ErrorContains(t, env.Up(t.Context()), "expected running, stopped or dead")
}

func TestWireJoinsWholeLines(t *testing.T) {
	r, w := io.Pipe()
	logs := []io.ReadCloser{io.NopCloser(strings.NewReader("a1\na2\n")), io.NopCloser(strings.NewReader("b1\nhalf"))}
	go join(t.Context(), w, logs)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"a1", "a2", "b1"}, strings.Fields(string(bytes.TrimSpace(text))))
}
