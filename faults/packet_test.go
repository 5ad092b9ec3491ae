package faults

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPacketStages(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		stage  string
	}{
		{"net-loss", map[string]any{"loss": "5%"}, "5% of packets lost both ways", `{"packets":{"drop":0.05},"seed":7}`},
		{"net-loss", map[string]any{"loss": "0.3%", "stream": "upstream", "ramp": "4s"}, "0.3% of packets lost upstream, growing over 4s",
			`{"packets":{"drop":0.003,"stream":"upstream"},"ramp":4000000000,"seed":7}`},
		{"net-blackhole", nil, "100% of packets lost both ways", `{"packets":{"drop":1},"seed":7}`},
		{"net-blackhole", map[string]any{"stream": "downstream", "after": map[string]any{"edge": "a -> b"}},
			"100% of packets lost downstream, after an exchange at a -> b",
			`{"packets":{"drop":1,"stream":"downstream"},"after":{"edge":"a -> b","count":1},"seed":7}`},
	} {
		_, f := newFault(t, c.kind, c.params)
		assert.Equal(t, c.says, f.Describe())
		link := &memLink{}
		require.NoError(t, f.Inject(t.Context(), Injection{ID: "f1", Target: link, Seed: 7}))
		got, err := json.Marshal(link.stages["f1"])
		require.NoError(t, err)
		assert.JSONEq(t, c.stage, string(got))
	}
}

func TestBadPacketParameters(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"net-loss", nil, `missing required field "loss"`},
		{"net-loss", map[string]any{"loss": 0}, "loss is zero: nothing would happen"},
		{"net-loss", map[string]any{"loss": 30}, `loss: "30" is outside 0..1: write 0.3 or 30%`},
		{"net-loss", map[string]any{"loss": "100%"}, "a loss of everything is net-blackhole"},
		{"net-loss", map[string]any{"loss": "0.05%"}, "loss 0.05%: write it in steps of 0.1%"},
		{"net-loss", map[string]any{"loss": "5%", "stream": "sideways"}, `stream: unknown value "sideways", want one of both, upstream, downstream`},
		{"net-loss", map[string]any{"loss": "5%", "cap": 3}, `unknown field "cap"`},
		{"net-blackhole", map[string]any{"ramp": "3s"}, `unknown field "ramp"`},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		_, err = k.New(params(c.params))
		if assert.Error(t, err, "%s %v", c.kind, c.params) {
			assert.Equal(t, c.want, place.ReplaceAllString(err.Error(), ""), "%s %v", c.kind, c.params)
		}
	}
}
