package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompositesAreMadeOfKinds(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   Composition
	}{
		{"outage", nil, Composition{"kill", []Part{{Kind: "proc-kill", On: "x"}}}},
		{"outage", map[string]any{"how": "refuse"}, Composition{"refuse", []Part{{Kind: "net-down", On: "* -> x"}}}},
		{"outage", map[string]any{"how": "hang"}, Composition{"hang", []Part{{Kind: "net-timeout", On: "* -> x"}}}},
		{"outage", map[string]any{"how": "error"}, Composition{"error", []Part{{Kind: "http-error", On: "* -> x", Params: map[string]any{"status": 503}}}}},
		{"zone-loss", nil, Composition{"kill", []Part{{Kind: "net-partition", On: "x | *"}, {Kind: "proc-kill", On: "x"}}}},
		{"zone-loss", map[string]any{"how": "pause"}, Composition{"pause", []Part{{Kind: "net-partition", On: "x | *"}, {Kind: "proc-pause", On: "x"}}}},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		got, err := k.Compose("x", params(c.params))
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
		for _, p := range got.Parts {
			part, err := Builtin().Kind(p.Kind)
			require.NoError(t, err)
			_, err = part.New(params(p.Params))
			assert.NoError(t, err, "%s: %s", c.kind, p.Kind)
		}
		_, err = k.Compose("x", params(map[string]any{"how": "magic"}))
		assert.ErrorContains(t, err, "how")
	}
}

func TestPartitionCuts(t *testing.T) {
	for how, want := range map[string]Stage{"hang": {Mode: LinkHang}, "reset": {Reset: true}, "refuse": {Mode: LinkRefuse}} {
		_, f := newFault(t, "net-partition", map[string]any{"how": how})
		assert.Equal(t, want, f.(stageFault).stage)
	}
}
