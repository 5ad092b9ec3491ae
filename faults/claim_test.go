package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Everything that is not listed may overlap with itself.
func TestClaims(t *testing.T) {
	process := []string{"proc-kill", "proc-term", "proc-pause", "proc-restart", "proc-crash-loop", "proc-memory", "bus-node-kill"}
	for _, kind := range process {
		_, f := newFault(t, kind, nil)
		assert.Equal(t, ClaimProcess, Claimed(f), kind)
	}
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   Claim
	}{
		{"proc-cpu", map[string]any{"cores": 1}, ClaimCPU},
		{"clock-skew", map[string]any{"offset": "-1s"}, ClaimClock},
		{"disk-full", nil, ClaimRoom},
		{"disk-slow", map[string]any{"delay": "1s"}, ""},
		{"db-lock", map[string]any{"table": "shop.orders"}, "table shop.orders"},
		{"db-lock", map[string]any{"advisory": 7}, "advisory lock 7"},
		{"db-hang", nil, ""},
		{"net-down", nil, ""},
		{"http-abort", nil, ""},
		{"bus-poison", map[string]any{"subject": "orders"}, ""},
	} {
		_, f := newFault(t, c.kind, c.params)
		assert.Equal(t, c.want, Claimed(f), c.kind)
	}
}
