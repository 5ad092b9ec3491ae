package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/plan"
	"squall/scenarios/spec"
)

// able is a system that every kind can be aimed at.
const able = `apiVersion: squall/v1
kind: System
metadata: {name: able}
spec:
  target: process
  services:
    a: {command: [./a], ports: [http], clock: {env: CLOCK}}
    n: {command: [./n], ports: [client]}
    pg: {command: [./pg], ports: [db], database: {user: shop, name: shop}}
  edges:
    n -> a: {protocol: http, env: A_URL}
    a -> n: {protocol: nats, env: BUS_URL, port: client}
    a -> pg: {protocol: postgres, env: PG_URL, port: db}
    pg -> a: {protocol: grpc, env: CALL_URL}
  zones:
    north: [a]
`

// aims are where each need is met.
var aims = map[faults.Capability]string{
	faults.NeedsLink: "n -> a", faults.NeedsHTTPLink: "n -> a", faults.NeedsGRPCLink: "pg -> a",
	faults.NeedsProcess: "a", faults.NeedsData: "a", faults.NeedsMemory: "a", faults.NeedsClock: "a", faults.NeedsService: "a",
	faults.NeedsBus: "a -> n", faults.NeedsBusNode: "n",
	faults.NeedsPostgres: "a -> pg", faults.NeedsDatabase: "a -> pg", faults.NeedsZone: "north",
}

// musts are the parameters that a kind cannot be without.
var musts = map[string]string{
	"bus-delay": "subject: x, delay: 1s", "bus-drop-ack": "of: publisher, subject: x", "bus-duplicate": "subject: x", "bus-poison": "subject: x",
	"clock-skew": "offset: +1s", "db-lock": "table: x", "disk-slow": "delay: 1s", "grpc-delay": "latency: 1s",
	"http-delay": "latency: 1s", "http-rate-limit": "rate: 1/s", "http-truncate": "bytes: 1B", "net-bandwidth": "rate: 1KB/s",
	"net-flap": "up: 1s, down: 1s", "net-latency": "latency: 1s", "net-limit": "bytes: 1KB", "net-loss": "loss: 10%",
	"net-slicer": "size: 1KB", "net-slow-accept": "delay: 1s", "net-slow-close": "delay: 1s", "proc-cpu": "cores: 1",
}

// A kind takes a limit, or the plan says why it has no meaning for it.
func TestEveryKindTakesALimitOrSaysWhyNot(t *testing.T) {
	limits := map[string]string{
		"from": "2", "first": "2", "every": "2", "probability": "50%", "cap": "2", "ramp": "1s",
		"method": "GET", "path": "/x", "header": "{X-A: b}", "key": "k", "after": "{edge: n -> a}",
	}
	refused := 0
	for _, name := range faults.Builtin().Names() {
		kind := faults.Builtin()[name]
		fields := spec.Fields(kind.Params)
		for limit, value := range limits {
			if limit == "method" && kind.Needs == faults.NeedsGRPCLink {
				value = "/shop.Orders/Get"
			}
			params := limit + ": " + value
			if must := musts[name]; must != "" {
				params += ", " + must
			}
			_, problems := compileOn(t, able, fmt.Sprintf("  faults: [{id: f, kind: %s, on: %s, params: {%s}}]\n", name, aims[kind.Needs], params), plan.Options{})
			if slices.ContainsFunc(fields, func(f spec.Field) bool { return f.Name == limit }) {
				assert.Empty(t, problems, "%s takes %s", name, limit)
				continue
			}
			refused++
			if assert.Len(t, problems, 1, "%s %s", name, limit) {
				assert.Regexp(t, `^s\.yaml:11:\d+: fault f: `+name+` cannot be limited by `+limit+`: .{12,}$`, problems[0].Error())
			}
		}
	}
	assert.Greater(t, refused, 200, "most kinds lack some")
}

func TestWhyAKindCannotBeLimited(t *testing.T) {
	for body, want := range map[string]string{
		"kind: proc-kill, on: a, params: {first: 2}":                          "s.yaml:11:60: fault f: proc-kill cannot be limited by first: a process is hit or it is not",
		"kind: net-latency, on: n -> a, params: {latency: 1s, path: /orders}": "s.yaml:11:79: fault f: net-latency cannot be limited by path: it acts on each connection, which has no path",
		"kind: disk-full, on: a, params: {after: {edge: n -> a}}":             "s.yaml:11:60: fault f: disk-full cannot be limited by after: only a proxy sees such events, and this is not done by one: use at:",
		"kind: db-kill-connections, on: a -> pg, params: {cap: 2}":            "s.yaml:11:74: fault f: db-kill-connections cannot be limited by cap: it acts once, on all that first or probability choose",
	} {
		_, problems := compileOn(t, able, "  faults: [{id: f, "+body+"}]\n", plan.Options{})
		require.Len(t, problems, 1, body)
		assert.Equal(t, want, problems[0].Error())
	}
}
