package faults

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStages pins what each link kind tells the proxy, and how it says so.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		stage  string
	}{
		{"net-latency", map[string]any{"latency": "3s", "jitter": "200ms"}, "3s ± 200ms downstream",
			`{"toxics":[{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":200,"latency":3000}}],"seed":7}`},
		{"net-latency", map[string]any{"latency": "20ms", "stream": "both"}, "20ms both",
			`{"toxics":[{"type":"latency","stream":"upstream","toxicity":1,"attributes":{"jitter":0,"latency":20}},
			            {"type":"latency","stream":"downstream","toxicity":1,"attributes":{"jitter":0,"latency":20}}],"seed":7}`},
		{"net-down", nil, "connections refused", `{"mode":"refuse","seed":7}`},
		{"net-timeout", nil, "silence", `{"mode":"hang","seed":7}`},
		{"net-reset", nil, "connections reset", `{"reset":true,"seed":7}`},
		{"http-error", nil, "503 to every request", `{"http":{"action":"status","status":503},"seed":7}`},
		{"http-error", map[string]any{"status": 429, "headers": map[string]any{"Retry-After": "1"}, "body": "slow down", "method": "POST", "path": "/charges/**", "probability": "30%"},
			"429 to 30% of requests: POST /charges/**",
			`{"http":{"match":{"method":"POST","path":"/charges/**","probability":0.3},"action":"status","status":429,"header":{"Retry-After":"1"},"body":"slow down"},"seed":7}`},
		{"http-lose-reply", map[string]any{"first": 2, "probability": 0.5}, "reply lost to 50% of the first 2 requests",
			`{"http":{"match":{"first":2,"probability":0.5},"action":"lose-reply"},"seed":7}`},
		{"http-lose-reply", map[string]any{"every": 3}, "reply lost to requests number 3, 6, ...",
			`{"http":{"match":{"every":3},"action":"lose-reply"},"seed":7}`},
	} {
		t.Run(c.kind+" "+c.says, func(t *testing.T) {
			kind, f := newFault(t, c.kind, c.params)
			assert.Equal(t, c.says, f.Describe())
			link := &memLink{hits: 4}
			x := Injection{ID: "f1", Target: link, Seed: 7}
			undo, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			assert.JSONEq(t, `{"stage":"f1"}`, string(undo))
			assert.Empty(t, link.stages, "prepare only reads")

			require.NoError(t, f.Inject(t.Context(), x))
			got, err := json.Marshal(link.stages["f1"])
			require.NoError(t, err)
			assert.JSONEq(t, c.stage, string(got))
			e, err := f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{Active: true, Receipt: Receipt{Hits: 4, Unit: "requests"}}, e)

			for range 2 { // idempotent
				require.NoError(t, kind.Revert(t.Context(), x, undo))
			}
			assert.Empty(t, link.stages)
			e, err = f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{}, e)
		})
	}
}

// place is where the decoder found a mistake, in a node without a file.
var place = regexp.MustCompile(`^:\d+:\d+: `)

func TestBadParameters(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"net-latency", nil, `missing required field "latency"`},
		{"net-latency", map[string]any{"latency": 250}, `latency: "250" needs a unit: write 250ms or 3s`},
		{"net-latency", map[string]any{"latency": "-3s"}, `latency: "-3s" is negative`},
		{"net-latency", map[string]any{"latency": "soon"}, `latency: "soon" is not a duration: write 250ms or 3s`},
		{"net-latency", map[string]any{"latency": "0s"}, `latency is zero: nothing would happen`},
		{"net-latency", map[string]any{"latency": "50us"}, `latency and jitter are whole milliseconds: the toxic knows nothing finer`},
		{"net-latency", map[string]any{"latency": "1.5ms"}, `latency and jitter are whole milliseconds: the toxic knows nothing finer`},
		{"net-latency", map[string]any{"latency": "1s", "jitter": "2s"}, `jitter 2s exceeds latency 1s`},
		{"net-latency", map[string]any{"latency": "1s", "stream": "sideways"}, `stream: unknown value "sideways", want one of downstream, upstream, both`},
		{"net-down", map[string]any{"latency": "1s"}, `unknown field "latency"`},
		{"http-error", map[string]any{"status": 99}, `status 99 is no error: write 400 to 599`},
		{"http-error", map[string]any{"status": 200}, `status 200 is no error: write 400 to 599`},
		{"http-error", map[string]any{"probability": 30}, `probability: "30" is outside 0..1: write 0.3 or 30%`},
		{"http-error", map[string]any{"probability": "NaN"}, `probability: "NaN" is outside 0..1: write 0.3 or 30%`},
		{"http-error", map[string]any{"probability": "half"}, `probability: "half" is not a ratio: write 0.3 or 30%`},
		{"http-error", map[string]any{"probability": 0}, `probability is zero: nothing would happen`},
		{"http-error", map[string]any{"first": -1}, `first: want at least 0, found -1`},
		{"http-error", map[string]any{"first": 1, "every": 2}, `first and every exclude each other`},
		{"http-error", map[string]any{"method": "post"}, `method "post": write it in capitals`},
		{"http-error", map[string]any{"path": "orders"}, `path "orders" is no path pattern: write /orders/* or /orders/**`},
		{"http-error", map[string]any{"path": "/[a"}, `path "/[a" is no path pattern: write /orders/* or /orders/**`},
		{"http-error", map[string]any{"headers": map[string]any{"X": "a\r\nb"}}, `header "X" is malformed`},
		{"http-lose-reply", map[string]any{"status": 500}, `unknown field "status"`},
		{"proc-kill", map[string]any{"signal": "TERM"}, `unknown field "signal"`},
		{"proc-pause", map[string]any{"for": "1s"}, `unknown field "for"`},
		{"bus-poison", nil, `missing required field "subject"`},
		{"bus-poison", map[string]any{"subject": "orders.*"}, `subject "orders.*" cannot be published to: write one subject without wildcards, such as orders.confirmed`},
		{"bus-poison", map[string]any{"subject": "orders..x"}, `subject "orders..x" cannot be published to: write one subject without wildcards, such as orders.confirmed`},
		{"bus-poison", map[string]any{"subject": "o", "count": 0}, `count: want at least 1, found 0`},
		{"bus-poison", map[string]any{"subject": "o", "count": 1001}, `count 1001 is outside 1..1000`},
		{"bus-poison", map[string]any{"subject": "o", "headers": map[string]any{"X-Request-Id": "1"}}, `header X-Request-Id is set by squall`},
		{"bus-poison", map[string]any{"subject": "o", "headers": map[string]any{"a b": "1"}}, `header "a b" is malformed`},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		_, err = k.New(params(c.params))
		if assert.Error(t, err, "%s %v", c.kind, c.params) {
			assert.Equal(t, c.want, place.ReplaceAllString(err.Error(), ""), "%s %v", c.kind, c.params)
		}
	}
}

func TestStageThatIsThereAlreadyIsNotReplaced(t *testing.T) {
	_, f := newFault(t, "net-down", nil)
	link := &memLink{stages: map[string]Stage{"f1": {Reset: true}}}
	_, err := f.Prepare(t.Context(), Injection{ID: "f1", Target: link})
	assert.EqualError(t, err, `stage "f1" is on a -> b already`)
}

func TestDeafLinkIsNotSeenInForce(t *testing.T) {
	_, f := newFault(t, "net-down", nil)
	x := Injection{ID: "f1", Target: &memLink{deaf: true, hits: 9}}
	require.NoError(t, f.Inject(t.Context(), x))
	e, err := f.Observe(t.Context(), x)
	require.NoError(t, err)
	assert.Equal(t, Evidence{}, e)
}

func TestRevertStage(t *testing.T) {
	x := Injection{ID: "f1", Target: &memLink{gone: true}}
	assert.NoError(t, revertStage(t.Context(), x, []byte(`{"stage":"f1"}`)), "what was on a link went with it")
	assert.ErrorContains(t, revertStage(t.Context(), x, []byte(`{`)), "undo data of f1")
	x.Target = &memProcess{}
	assert.EqualError(t, revertStage(t.Context(), x, []byte(`{"stage":"f1"}`)), "orders is no link")
}

func TestBuiltinKindsAreDocumented(t *testing.T) {
	names := []string{"bus-poison", "http-error", "http-lose-reply", "net-down", "net-latency", "net-reset", "net-timeout", "proc-kill", "proc-pause"}
	assert.Equal(t, names, Builtin().Names())
	for _, k := range Builtin() {
		assert.NotEmpty(t, k.Summary, k.Name)
		assert.Contains(t, k.Doc, "Receipt:", k.Name)
		assert.Contains(t, k.Doc, "Undo:", k.Name)
		assert.NotEmpty(t, k.Needs, k.Name)
		assert.NotNil(t, k.Params, k.Name)
		assert.NotNil(t, k.New, k.Name)
		assert.NotNil(t, k.Revert, k.Name)
	}
	_, err := Builtin().Kind("net-slow")
	assert.EqualError(t, err, `unknown fault kind "net-slow"`)
}
