package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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
