package faults

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNetStages pins what each net kind tells the proxy, and how it says so.
func TestNetStages(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		stage  string
	}{
		{"net-latency", map[string]any{"latency": "3s", "jitter": "200ms"}, "3s ± 200ms downstream",
			`{"toxics":[{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":3000,"jitter":200,"distribution":"uniform"}}]}`},
		{"net-latency", map[string]any{"latency": "20ms", "stream": "both"}, "20ms both",
			`{"toxics":[{"type":"latency","stream":"upstream","toxicity":1,"attributes":{"latency":20}},
			            {"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":20}}]}`},
		{"net-latency", map[string]any{"latency": "250us", "first": 2}, "250µs downstream on the first 2 connections",
			`{"toxics":[{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":0.25}}],"match":{"first":2}}`},
		{"net-latency", map[string]any{"latency": "50ms", "jitter": "10ms", "distribution": "normal", "ramp": "3s"}, "50ms ± 10ms (normal) downstream, growing over 3s",
			`{"toxics":[{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":50,"jitter":10,"distribution":"normal"}}],"ramp":3000000000}`},
		{"net-latency", map[string]any{"latency": "5ms", "jitter": "10ms", "distribution": "pareto", "stream": "upstream"}, "5ms + 10ms (pareto) upstream",
			`{"toxics":[{"type":"latency","stream":"upstream","toxicity":1,"attributes":{"latency":5,"jitter":10,"distribution":"pareto"}}]}`},
		{"net-latency", map[string]any{"latency": "0s", "jitter": "10ms", "distribution": "exponential"}, "0s + 10ms (exponential) downstream",
			`{"toxics":[{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":0,"jitter":10,"distribution":"exponential"}}]}`},
		{"net-bandwidth", map[string]any{"rate": "100KB/s"}, "at most 100KB/s downstream",
			`{"toxics":[{"type":"bandwidth","stream":"downstream","toxicity":1,"attributes":{"rate":100}}]}`},
		{"net-bandwidth", map[string]any{"rate": "512B/s", "stream": "upstream"}, "at most 512B/s upstream",
			`{"toxics":[{"type":"bandwidth","stream":"upstream","toxicity":1,"attributes":{"rate":0.512}}]}`},
		{"net-slicer", map[string]any{"size": "64B", "variation": "16B", "delay": "1ms"}, "slices of 64B downstream",
			`{"toxics":[{"type":"slicer","stream":"downstream","toxicity":1,"attributes":{"average_size":64,"size_variation":16,"delay":1000}}]}`},
		{"net-limit", map[string]any{"bytes": "4KB", "every": 2, "cap": 5}, "closed after 4KB downstream on connections number 2, 4, ..., at most 5",
			`{"toxics":[{"type":"limit_data","stream":"downstream","toxicity":1,"attributes":{"bytes":4000}}],"match":{"every":2},"cap":5}`},
		{"net-limit", map[string]any{"bytes": "0B"}, "closed after 0B downstream",
			`{"toxics":[{"type":"limit_data","stream":"downstream","toxicity":1,"attributes":{"bytes":0}}]}`},
		{"net-slow-close", map[string]any{"delay": "2s"}, "closed 2s late downstream",
			`{"toxics":[{"type":"slow_close","stream":"downstream","toxicity":1,"attributes":{"delay":2000}}]}`},
		{"net-slow-accept", map[string]any{"delay": "2s", "probability": "10%"}, "accepted 2s late on 10% of connections",
			`{"accept":2000000000,"match":{"probability":0.1}}`},
		{"net-flap", map[string]any{"up": "2s", "down": "500ms"}, "500ms down, 2s up", `{"flap":{"up":2000000000,"down":500000000}}`},
		{"net-down", nil, "connections refused", `{"mode":"refuse"}`},
		{"net-timeout", map[string]any{"from": 3}, "silence on connections from number 3 on", `{"mode":"hang","match":{"from":3}}`},
		{"net-reset", nil, "connections reset", `{"reset":true}`},
		{"net-reset", map[string]any{"after": map[string]any{"edge": "a -> b", "status": "5xx", "count": 2}}, "connections reset, after 2 times 5xx at a -> b",
			`{"reset":true,"after":{"edge":"a -> b","status":"5xx","count":2}}`},
		{"tls-expired", nil, "expired certificate", `{"tls":{"cert":"expired","reset":true}}`},
		{"tls-untrusted", map[string]any{"live": "keep", "first": 1}, "untrusted certificate on the first connection",
			`{"tls":{"cert":"untrusted"},"match":{"first":1}}`},
	} {
		t.Run(c.kind+" "+c.says, func(t *testing.T) { makesStage(t, c.kind, c.params, c.says, c.stage) })
	}
}

// makesStage requires what a fault says of itself and the stage, as JSON, that it puts on a link.
func makesStage(t *testing.T, kind string, params map[string]any, says, stage string) {
	t.Helper()
	_, f := newFault(t, kind, params)
	assert.Equal(t, says, f.Describe())
	link := &memLink{}
	require.NoError(t, f.Inject(t.Context(), Injection{ID: "f1", Target: link}))
	got, err := json.Marshal(link.stages["f1"])
	require.NoError(t, err)
	assert.JSONEq(t, stage, string(got))
}

func TestBadNetParameters(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"net-latency", nil, `missing required field "latency"`},
		{"net-latency", map[string]any{"latency": 250}, `latency: "250" needs a unit: write 250ms or 3s`},
		{"net-latency", map[string]any{"latency": "-3s"}, `latency: "-3s" is negative`},
		{"net-latency", map[string]any{"latency": "0s"}, `latency is zero: nothing would happen`},
		{"net-latency", map[string]any{"latency": "1s", "jitter": "2s"}, `jitter 2s exceeds latency 1s`},
		{"net-latency", map[string]any{"latency": "1s", "jitter": "2s", "distribution": "normal"}, `jitter 2s exceeds latency 1s`},
		{"net-latency", map[string]any{"latency": "1s", "distribution": "pareto"}, `distribution pareto needs a jitter`},
		{"net-latency", map[string]any{"latency": "1s", "distribution": "gauss"}, `distribution: unknown value "gauss", want one of uniform, normal, exponential, pareto`},
		{"net-latency", map[string]any{"latency": "1s", "stream": "sideways"}, `stream: unknown value "sideways", want one of downstream, upstream, both`},
		{"net-latency", map[string]any{"latency": "1s", "method": "GET"}, `unknown field "method"`},
		{"net-bandwidth", nil, `missing required field "rate"`},
		{"net-bandwidth", map[string]any{"rate": "100"}, `rate: "100" is not a data rate: write 100KB/s or 1MiB/s (bytes, not bits)`},
		{"net-bandwidth", map[string]any{"rate": "-1KB/s"}, `rate: "-1KB/s" is not a data rate: write 100KB/s or 1MiB/s (bytes, not bits)`},
		{"net-bandwidth", map[string]any{"rate": "0B/s"}, `rate is zero: write net-timeout for a link on which nothing passes`},
		{"net-slicer", map[string]any{"size": 64}, `size: "64" is not an amount of data: write 512B, 64KB or 1MiB`},
		{"net-slicer", map[string]any{"size": "0B"}, `size is zero: a slice has at least 1B`},
		{"net-slicer", map[string]any{"size": "8B", "variation": "8B"}, `variation 8B is not below size 8B`},
		{"net-slicer", map[string]any{"size": "8B", "delay": "100ns"}, `delay 100ns is no whole microseconds`},
		{"net-limit", map[string]any{"bytes": "-1B"}, `bytes: "-1B" is not an amount of data: write 512B, 64KB or 1MiB`},
		{"net-slow-close", map[string]any{"delay": "0s"}, `delay is zero: nothing would happen`},
		{"net-slow-close", map[string]any{"delay": "10us"}, `delay 10µs is no whole milliseconds`},
		{"net-slow-accept", map[string]any{"delay": "0s"}, `delay is zero: nothing would happen`},
		{"net-flap", map[string]any{"up": "2s"}, `missing required field "down"`},
		{"net-flap", map[string]any{"up": "2s", "down": "1ms"}, `2s up and 1ms down: a link cannot flap faster than every 10ms`},
		{"net-flap", map[string]any{"up": "2s", "down": "1s", "probability": "10%"}, `unknown field "probability"`},
		{"net-down", map[string]any{"first": 2}, `unknown field "first"`},
		{"net-reset", map[string]any{"probability": 30}, `probability: "30" is outside 0..1: write 0.3 or 30%`},
		{"net-reset", map[string]any{"after": map[string]any{"edge": "nowhere"}}, `after: edge "nowhere": write it as orders -> payments`},
		{"tls-expired", map[string]any{"live": "kill"}, `live: unknown value "kill", want one of reset, keep`},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		_, err = k.New(params(c.params))
		if assert.Error(t, err, "%s %v", c.kind, c.params) {
			assert.Equal(t, c.want, place.ReplaceAllString(err.Error(), ""), "%s %v", c.kind, c.params)
		}
	}
}
