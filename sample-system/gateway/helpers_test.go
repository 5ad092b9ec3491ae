package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestMain lets more tests run at a time than there are cores: they wait for
// what the gateway does by itself most of the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// soon is the patience of the tests with what happens in the background.
const (
	soon = 10 * time.Second
	tick = 10 * time.Millisecond
)

// fake is a service behind the gateway whose answers a test may change.
type fake struct {
	URL   string
	calls atomic.Int32
	serve atomic.Pointer[http.HandlerFunc]
}

func newFake(t testing.TB, serve http.HandlerFunc) *fake {
	f := &fake{}
	f.answer(serve)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		(*f.serve.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

func (f *fake) answer(serve http.HandlerFunc) { f.serve.Store(&serve) }

func says(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// truncated announces more than it sends.
func truncated(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, body)
		panic(http.ErrAbortHandler)
	}
}

// hangs answers when the caller has gone.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that
	<-r.Context().Done()
}

func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const (
	teaJSON     = `{"sku":"tea","title":"Tea","price_cents":1999,"stock":7,"version":"v1"}`
	reviewsJSON = `{"sku":"tea","stars":4.5,"reviews":[{"author":"ada","stars":5,"text":"Good."}]}`
)

// nowhere is an address that nobody listens on.
func nowhere(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

// behind is an environment for the gateway in which nobody is there but the
// given services.
func behind(t testing.TB, services map[string]string) map[string]string {
	env := map[string]string{"NATS_URL": "127.0.0.1:1"}
	gone := nowhere(t)
	for _, name := range []string{"CATALOG_URL", "REVIEWS_URL", "ORDERS_URL", "HISTORY_URL", "USERS_URL", "LEGACY_URL"} {
		env[name] = gone
	}
	for k, v := range services {
		env[k] = v
	}
	return env
}

func config(t testing.TB, env map[string]string, defects ...string) service.Config {
	cfg := servicetest.Config(t, env, defects...)
	cfg.Service, cfg.Name = "gateway", "gateway"
	return cfg
}

// start runs a gateway.
func start(t testing.TB, env map[string]string, defects ...string) string {
	return "http://" + servicetest.StartHost(t, Setup, config(t, env, defects...)).Addr()
}

// instance runs a service of the given version that is found by the registry.
func instance(t testing.TB, natsURL, name, version string, serve service.Handler, patterns ...string) *service.Host {
	cfg := servicetest.Config(t, map[string]string{"NATS_URL": natsURL, "SHOP_WEIGHT": map[bool]string{true: "1", false: "0"}[version == "v1"]})
	cfg.Service, cfg.Name, cfg.Version = "catalog", name, version
	return servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		for _, p := range patterns {
			h.Handle(p, serve)
		}
		registry.Register(h, b, h.Addr)
		return nil
	}, cfg)
}

type answered struct {
	code   int
	header http.Header
	body   string
}

func (a answered) decode(t testing.TB, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

// ask sends a request; headers come in pairs.
func ask(t testing.TB, method, url, body string, headers ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if !assert.NoError(t, err) {
		return answered{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return answered{resp.StatusCode, resp.Header, string(b)}
}

// busOf is a connection of its own for a part that needs one.
func busOf(t testing.TB, h *service.Host) *bus.Bus {
	b, err := bus.Connect(h)
	require.NoError(t, err)
	return b
}

// newDeploysFor is the shared state as a running gateway sees it.
func newDeploysFor(t testing.TB, env map[string]string) (d *deploys) {
	servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		d = newDeploys(h, busOf(t, h), migrationKey)
		return nil
	}, config(t, env))
	return d
}
