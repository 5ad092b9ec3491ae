// Package servicetest runs one service inside a test.
package servicetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// Host is a host that does not run: for parts that only need its
// configuration, metrics and log.
func Host(t testing.TB, defects ...string) *service.Host {
	return &service.Host{
		Config:  service.Config{Name: "test", Data: t.TempDir(), Defects: defect.Of(defects...)},
		Logger:  slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(),
	}
}

// Start runs a service until the test ends and returns its URL.
func Start(t testing.TB, setup service.Setup, env map[string]string, defects ...string) string {
	cfg := service.Config{
		Name: "test", Listen: "127.0.0.1:0", Data: t.TempDir(), Defects: defect.Of(defects...),
		Getenv: func(name string) string { return env[name] }, Log: io.Discard,
	}
	ctx, cancel := context.WithCancel(context.Background())
	h, err := service.New(ctx, cfg, setup)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var ran error
	wg.Go(func() { ran = h.Run(ctx) })
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		wg.Wait()
		require.NoError(t, ran)
	})
	return "http://" + h.Addr()
}

// Post sends a command and returns status and body.
func Post(t testing.TB, url, key, body string) (int, string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	if key != "" {
		req.Header.Set(service.IdempotencyHeader, key)
		req.Header.Set(service.RequestIDHeader, key)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// Effects reads a book: the effects on one operation, in order.
func Effects(t testing.TB, url, key string) []int {
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	var rows []audit.Row
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&rows))
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
