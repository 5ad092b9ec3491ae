package faults

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStages pins what link kinds tell the proxy, how they say so, and how they
// are undone; those of net_test.go are stages like these.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		stage  string
	}{
		{"http-error", nil, "503 for every request", `{"http":{"action":"status","status":503},"seed":7}`},
		{"http-error", map[string]any{"status": 429, "headers": map[string]any{"Retry-After": "1"}, "body": "slow down", "method": "POST", "path": "/charges/**", "probability": "30%"},
			"429 for 30% of requests: POST /charges/**",
			`{"http":{"action":"status","status":429,"header":{"Retry-After":"1"},"body":"slow down"},"match":{"method":"POST","path":"/charges/**","probability":0.3},"seed":7}`},
		{"http-lose-reply", map[string]any{"first": 2, "probability": 0.5}, "reply lost for 50% of the first 2 requests",
			`{"http":{"action":"lose-reply"},"match":{"first":2,"probability":0.5},"seed":7}`},
		{"http-lose-reply", map[string]any{"every": 3}, "reply lost for requests number 3, 6, ...",
			`{"http":{"action":"lose-reply"},"match":{"every":3},"seed":7}`},
		{"http-lose-reply", map[string]any{"from": 3, "every": 2}, "reply lost for requests number 4, 6, ...",
			`{"http":{"action":"lose-reply"},"match":{"from":3,"every":2},"seed":7}`},
		{"http-error", map[string]any{"from": 3, "first": 2, "header": map[string]any{"X-User": "a*"}, "key": "pay-*"}, "503 for requests number 3 to 4, X-User: a*, key pay-*",
			`{"http":{"action":"status","status":503},"match":{"from":3,"first":2,"header":{"X-User":"a*"},"key":"pay-*"},"seed":7}`},
		{"http-error", map[string]any{"ramp": "5s", "cap": 3, "after": map[string]any{"edge": "orders->payments", "path": "/charges", "status": "5xx", "count": 3}},
			"503 for every request, after 3 times /charges 5xx at orders->payments, growing over 5s, at most 3",
			`{"http":{"action":"status","status":503},"after":{"edge":"orders -> payments","path":"/charges","status":"5xx","count":3},"ramp":5000000000,"cap":3,"seed":7}`},
		{"net-reset", map[string]any{"every": 2, "probability": "50%", "after": map[string]any{"edge": "a -> b", "error": "reset"}}, "connections reset on 50% of connections number 2, 4, ..., after reset at a -> b",
			`{"reset":true,"match":{"every":2,"probability":0.5},"after":{"edge":"a -> b","error":"reset","count":1},"seed":7}`},
		{"http-delay", map[string]any{"latency": "1s", "jitter": "50us", "path": "/x"}, "1s ± 50µs for every request: /x",
			`{"http":{"action":"delay","delay":1000000000,"jitter":50000},"match":{"path":"/x"},"seed":7}`},
		{"http-abort", map[string]any{"end": "close"}, "connection closed for every request", `{"http":{"action":"abort","close":true},"seed":7}`},
		{"http-truncate", map[string]any{"bytes": "2KB"}, "reply cut after 2KB for every request", `{"http":{"action":"truncate","bytes":2000},"seed":7}`},
		{"http-truncate", map[string]any{"share": "50%", "end": "close"}, "reply cut after 50% for every request", `{"http":{"action":"truncate","share":0.5,"close":true},"seed":7}`},
		{"http-corrupt", map[string]any{"count": 3, "stream": "upstream"}, "corrupt request for every request", `{"http":{"action":"corrupt","bytes":3,"up":true},"seed":7}`},
		{"http-duplicate", nil, "second delivery for every request", `{"http":{"action":"duplicate","bytes":1048576},"seed":7}`},
		{"http-rate-limit", map[string]any{"rate": "2.5/s"}, "429 above 2.5/s for every request", `{"http":{"action":"rate-limit","status":429,"rate":2.5,"burst":3},"seed":7}`},
		{"grpc-error", map[string]any{"method": "/shop.Orders/*", "metadata": map[string]any{"tenant": "a"}, "first": 1, "message": "gone"}, "UNAVAILABLE for the first call: /shop.Orders/*, tenant: a",
			`{"http":{"action":"status","status":200,"grpc":{"code":14,"message":"gone"}},"match":{"path":"/shop.Orders/*","header":{"tenant":"a"},"first":1},"seed":7}`},
		{"grpc-delay", map[string]any{"latency": "2s"}, "2s for every call", `{"http":{"action":"delay","delay":2000000000},"seed":7}`},
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
		{"http-error", map[string]any{"from": -1}, `from: want at least 0, found -1`},
		{"http-error", map[string]any{"header": map[string]any{"a b": "x"}}, `header "a b" is malformed`},
		{"http-error", map[string]any{"cap": -1}, `cap: want at least 0, found -1`},
		{"http-error", map[string]any{"ramp": 5}, `ramp: "5" needs a unit: write 250ms or 3s`},
		{"http-error", map[string]any{"after": map[string]any{"status": "5xx"}}, `missing required field "edge" in after`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "payments"}}, `after: edge "payments": write it as orders -> payments`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "a -> b", "status": "bad"}}, `after: status "bad": write 503, 5xx or UNAVAILABLE`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "a -> b", "error": "broken"}}, `error: unknown value "broken", want one of refused, reset, timeout, caller-left, upstream-closed`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "a -> b", "status": "503", "error": "reset"}}, `after: status and error exclude each other`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "a -> b", "count": 0}}, `count: want at least 1, found 0`},
		{"http-error", map[string]any{"after": map[string]any{"edge": "a -> b", "method": "get"}}, `after: method "get": write it in capitals`},
		{"http-delay", map[string]any{"latency": "0s"}, `latency is zero: nothing would happen`},
		{"http-delay", map[string]any{"latency": "1s", "jitter": "2s"}, `jitter 2s exceeds latency 1s`},
		{"http-truncate", nil, `give bytes or share: how much of the body passes`},
		{"http-truncate", map[string]any{"bytes": "1B", "share": "1%"}, `give bytes or share: how much of the body passes`},
		{"http-truncate", map[string]any{"share": 1}, `share is all of the body: nothing would happen`},
		{"http-truncate", map[string]any{"bytes": 100}, `bytes: "100" is not an amount of data: write 512B, 64KB or 1MiB`},
		{"http-corrupt", map[string]any{"count": 0}, `count: want at least 1, found 0`},
		{"http-duplicate", map[string]any{"upTo": "1GiB"}, `upTo exceeds 16MiB: the proxy keeps the request to send it again`},
		{"http-rate-limit", nil, `missing required field "rate"`},
		{"http-rate-limit", map[string]any{"rate": 40}, `rate: "40" is not a rate: write 40/s or 0.5/s`},
		{"http-rate-limit", map[string]any{"rate": "0/s"}, `rate: "0/s" is not a rate: write 40/s or 0.5/s`},
		{"http-rate-limit", map[string]any{"rate": "1/s", "status": 200}, `status 200 is no error: write 400 to 599`},
		{"grpc-error", map[string]any{"code": "OK"}, `code: "OK" is no gRPC error: want one of CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED`},
		{"grpc-error", map[string]any{"method": "Get"}, `method "Get" is no gRPC method: write /shop.Orders/Get or /shop.Orders/*`},
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
	names := []string{ // a line for each theme
		"bus-delay", "bus-drop-ack", "bus-duplicate", "bus-node-kill", "bus-poison",
		"clock-skew",
		"db-hang", "db-kill-connections", "db-lock",
		"disk-full", "disk-slow",
		"grpc-delay", "grpc-error",
		"http-abort", "http-corrupt", "http-delay", "http-duplicate", "http-error", "http-lose-reply", "http-rate-limit", "http-truncate",
		"net-bandwidth", "net-blackhole", "net-down", "net-flap", "net-latency", "net-limit", "net-loss", "net-partition",
		"net-reset", "net-slicer", "net-slow-accept", "net-slow-close", "net-timeout",
		"outage",
		"proc-cpu", "proc-crash-loop", "proc-kill", "proc-memory", "proc-pause", "proc-restart", "proc-term",
		"tls-expired", "tls-untrusted",
		"zone-loss",
	}
	assert.Equal(t, names, Builtin().Names())
	for _, k := range Builtin() {
		assert.NotEmpty(t, k.Summary, k.Name)
		assert.Contains(t, k.Doc, "Receipt:", k.Name)
		assert.Contains(t, k.Doc, "Undo:", k.Name)
		assert.NotEmpty(t, k.Needs, k.Name)
		assert.NotNil(t, k.Params, k.Name)
		assert.True(t, k.Compose != nil || k.New != nil && k.Revert != nil, k.Name)
	}
	_, err := Builtin().Kind("net-slow")
	assert.EqualError(t, err, `unknown fault kind "net-slow"`)
}
