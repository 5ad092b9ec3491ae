package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// TestLogCarriesTrace: what is logged with a context can be joined with other
// processes' lines.
func TestLogCarriesTrace(t *testing.T) {
	var out bytes.Buffer
	log := service.NewLogger(&out, "orders", "orders-2")
	ctx := tracing.WithTraceparent(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ctx = service.WithOperation(ctx, service.Operation{ID: "op-1"})
	log.With("edge", "orders -> payments").WarnContext(ctx, "retrying", "attempt", 2)
	log.InfoContext(context.Background(), "idle")

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	assert.Equal(t, map[string]any{
		"level": "WARN", "msg": "retrying", "service": "orders", "instance": "orders-2", "edge": "orders -> payments", "attempt": 2.0,
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "op": "op-1",
	}, object(t, lines[0]))
	assert.Equal(t, map[string]any{"level": "INFO", "msg": "idle", "service": "orders", "instance": "orders-2"}, object(t, lines[1]))
}

// TestLogWithoutWriter: a host that nobody listens to logs nowhere.
func TestLogWithoutWriter(t *testing.T) {
	assert.NotPanics(t, func() { service.NewLogger(nil, "x", "x").Info("hello") })
}

func object(t *testing.T, line string) map[string]any {
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &o))
	assert.NotEmpty(t, o["time"])
	delete(o, "time")
	return o
}

func TestOperationOf(t *testing.T) {
	for name, test := range map[string]struct {
		header string
		keeps  bool
	}{
		"given":    {"checkout-17:a_b.c", true},
		"none":     {"", false},
		"too long": {strings.Repeat("x", 129), false},
		"a line":   {"a\nb", false},
		"a path":   {"../etc", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header[service.RequestIDHeader] = []string{test.header}
			op := service.OperationOf(r)
			assert.True(t, service.ValidID(op.ID))
			assert.Equal(t, test.keeps, op.ID == test.header)
			assert.Equal(t, op, service.OperationFrom(service.WithOperation(t.Context(), op)))
		})
	}
	assert.Zero(t, service.OperationFrom(t.Context()))
}

func FuzzValidID(f *testing.F) {
	f.Add("op-1")
	f.Add("..\x00")
	f.Fuzz(func(t *testing.T, s string) {
		if service.ValidID(s) && (s == "" || len(s) > 128 || strings.ContainsAny(s, "/\\ \t\r\n\"'{}?#%")) {
			t.Fatalf("%q passes", s)
		}
	})
}
