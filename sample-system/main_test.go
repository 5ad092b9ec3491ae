package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"no service":      {nil, nil, "usage: shop autoscaler|catalog|"},
		"unknown service": {[]string{"till"}, nil, "usage: shop"},
		"no address":      {[]string{"psp"}, nil, "SHOP_LISTEN is not set"},
		"unknown defect":  {[]string{"psp"}, map[string]string{"SHOP_LISTEN": "127.0.0.1:0", "SHOP_DEFECTS": "D07,D99"}, `unknown "D99", known are D01, D02`},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := run(context.Background(), tt.args, func(k string) string { return tt.env[k] }, io.Discard, &stderr)
			assert.Equal(t, 2, code)
			assert.Contains(t, stderr.String(), tt.want)
		})
	}
}

// TestReady: the health check of an image without any other program.
func TestReady(t *testing.T) {
	code := http.StatusOK
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/readyz", r.URL.Path)
		w.WriteHeader(code)
	}))
	_, port, err := net.SplitHostPort(ops.Listener.Addr().String())
	require.NoError(t, err)
	ask := func(env map[string]string) (int, string) {
		var stderr bytes.Buffer
		return run(t.Context(), []string{"ready"}, func(k string) string { return env[k] }, io.Discard, &stderr), stderr.String()
	}
	here := map[string]string{"SHOP_LISTEN": "0.0.0.0:1", "SHOP_OPS": "0.0.0.0:" + port}
	exit, said := ask(here)
	assert.Zero(t, exit, said)
	code = http.StatusServiceUnavailable
	exit, said = ask(here)
	assert.Equal(t, 1, exit)
	assert.Contains(t, said, "503")
	ops.Close()
	exit, _ = ask(here)
	assert.Equal(t, 1, exit)
	exit, _ = ask(nil)
	assert.Equal(t, 2, exit)
}

// TestRunNeedsItsEdges: a service without an address it needs ends with an error that names it.
func TestRunNeedsItsEdges(t *testing.T) {
	for service, variable := range map[string]string{
		"gateway": "LEGACY_URL", "orders": "NATS_URL", "payments": "PSP_PRIMARY_URL", "notifications": "NATS_URL", "nats": "NATS_CLIENT",
	} {
		t.Run(service, func(t *testing.T) {
			env := map[string]string{"SHOP_LISTEN": "127.0.0.1:0", "SHOP_DATA": t.TempDir()}
			for _, other := range []string{"NATS_URL", "USERS_URL", "CATALOG_URL", "REVIEWS_URL", "ORDERS_URL", "HISTORY_URL", "LEGACY_URL", "INVENTORY_URL", "PAYMENTS_URL"} {
				if other != variable {
					env[other] = "127.0.0.1:1"
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var stderr bytes.Buffer
			code := run(ctx, []string{service}, func(k string) string { return env[k] }, io.Discard, &stderr)
			assert.Equal(t, 1, code)
			assert.True(t, strings.Contains(stderr.String(), variable), stderr.String())
		})
	}
}
