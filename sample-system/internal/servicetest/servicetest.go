// Package servicetest runs one service inside a test.
package servicetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// Config is that of the service "test" on a free port. Its data are in a folder
// of their own, or in env's SHOP_DATA.
func Config(t testing.TB, env map[string]string, defects ...string) service.Config {
	data := env["SHOP_DATA"]
	if data == "" {
		data = t.TempDir()
	}
	return service.Config{
		Service: "test", Name: "test", Version: "v1", Listen: "127.0.0.1:0", Data: data, Defects: defect.Of(defects...),
		Getenv: func(name string) string { return env[name] }, Log: io.Discard,
	}
}

// Host is a host that does not run: for parts that only need its
// configuration, metrics and log.
func Host(t testing.TB, defects ...string) *service.Host {
	h := service.Bare(Config(t, nil, defects...))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// Start runs a service until the test ends and returns its URL.
func Start(t testing.TB, setup service.Setup, env map[string]string, defects ...string) string {
	return "http://" + StartHost(t, setup, Config(t, env, defects...)).Addr()
}

// StartHost runs a service until the test ends.
func StartHost(t testing.TB, setup service.Setup, cfg service.Config) *service.Host {
	cfg.Alone = true
	h, stop := Run(t, setup, cfg)
	t.Cleanup(stop)
	return h
}

// Run runs a service until stop is called, which waits for its orderly end.
func Run(t testing.TB, setup service.Setup, cfg service.Config) (h *service.Host, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	h, err := service.New(ctx, cfg, setup)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var ran error
	wg.Go(func() { ran = h.Run(ctx) })
	return h, func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		wg.Wait()
		require.NoError(t, ran)
	}
}

// Post sends a command and returns status and body.
func Post(t testing.TB, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	if key != "" {
		req.Header.Set(service.IdempotencyHeader, key)
		req.Header.Set(service.RequestIDHeader, key)
	}
	return do(t, req)
}

// Get returns status and body.
func Get(t testing.TB, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	return do(t, req)
}

func do(t testing.TB, req *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// Effects reads a book: the effects on one operation, in order.
func Effects(t testing.TB, url, key string) []int {
	t.Helper()
	code, body := Get(t, url)
	require.Equal(t, http.StatusOK, code, body)
	var rows []struct {
		Key    string `json:"key"`
		Effect int    `json:"effect"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &rows))
	effects := []int{}
	for _, r := range rows {
		if r.Key == key {
			effects = append(effects, r.Effect)
		}
	}
	return effects
}

// Metric is the sum of all series of a counter or gauge.
func Metric(t testing.TB, h *service.Host, name string) (sum float64) {
	t.Helper()
	families, err := h.Metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
