package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/plan"
)

// What two faults cannot both have is refused before anything starts; what adds
// up is not, nor what comes one after the other.
func TestClaims(t *testing.T) {
	const all = " from 0s to 10s of the fault phase; set apart at: and for:"
	const both = "; set apart at: and for:"
	for name, c := range map[string]struct {
		first, second string
		want          string // of the problem, at the second; empty: legal
	}{
		"one process paused twice": {"kind: proc-pause, on: a", "kind: proc-pause, on: a",
			"fault g: proc-pause needs the process of a to itself, and so does proc-pause of fault f (s.yaml:12:7): both stand" + all},
		"one instance of a group": {"kind: proc-kill, on: many", "kind: proc-pause, on: many-2, at: 2s, for: 3s",
			"fault g: proc-pause needs the process of many-2 to itself, and so does proc-kill of fault f (s.yaml:12:7): both stand from 2s to 5s of the fault phase" + both},
		"all of a group":            {"kind: proc-kill, on: many", "kind: proc-term, on: many", "fault g: proc-term needs the process of many-1, process of many-2 to itself, and so does proc-kill of fault f (s.yaml:12:7): both stand" + all},
		"composite and plain":       {"kind: zone-loss, on: north", "kind: proc-restart, on: a, at: 9s", "fault g: proc-restart needs the process of a to itself, and so does zone-loss of fault f (s.yaml:12:7): both stand from 9s to 10s of the fault phase" + both},
		"two composites":            {"kind: zone-loss, on: north", "kind: outage, on: many-1", "fault g: outage needs the process of many-1 to itself, and so does zone-loss of fault f (s.yaml:12:7): both stand" + all},
		"node that may be meant":    {"kind: bus-node-kill, on: b", "kind: proc-pause, on: b", "fault g: proc-pause needs the process of b to itself, and so does bus-node-kill of fault f (s.yaml:12:7): both stand" + all},
		"memory of a killed one":    {"kind: proc-kill, on: a", "kind: proc-memory, on: a", "fault g: proc-memory needs the process of a to itself, and so does proc-kill of fault f (s.yaml:12:7): both stand" + all},
		"two shares of CPU":         {"kind: proc-cpu, on: a, params: {cores: 1}", "kind: proc-cpu, on: a, params: {cores: 0.5}", "fault g: proc-cpu needs the share of the processors of a to itself, and so does proc-cpu of fault f (s.yaml:12:7): both stand" + all},
		"two clocks":                {"kind: clock-skew, on: a, params: {offset: +1s}", "kind: clock-skew, on: a, params: {offset: -1s}", "fault g: clock-skew needs the clock of a to itself, and so does clock-skew of fault f (s.yaml:12:7): both stand" + all},
		"one disk full twice":       {"kind: disk-full, on: a", "kind: disk-full, on: a, params: {first: 2}", "fault g: disk-full needs the room on the disk of a to itself, and so does disk-full of fault f (s.yaml:12:7): both stand" + all},
		"one table by two edges":    {"kind: db-lock, on: a -> pg, params: {table: orders}", "kind: db-lock, on: b -> pg, params: {table: orders}", "fault g: db-lock needs the table orders of pg to itself, and so does db-lock of fault f (s.yaml:12:7): both stand" + all},
		"two tables":                {"kind: db-lock, on: a -> pg, params: {table: orders}", "kind: db-lock, on: a -> pg, params: {table: stock}", ""},
		"one after the other":       {"kind: proc-kill, on: a, for: 2s", "kind: proc-pause, on: a, at: 2s", ""},
		"two instances":             {"kind: proc-kill, on: many-1", "kind: proc-pause, on: many-2", ""},
		"network faults on an edge": {"kind: net-down, on: a -> b", "kind: net-latency, on: a -> b, params: {latency: 1s}", ""},
		"the same fault on an edge": {"kind: net-latency, on: a -> b, params: {latency: 1s}", "kind: net-latency, on: a -> b, params: {latency: 1s}", ""},
		"edge and process":          {"kind: net-down, on: a -> b", "kind: proc-kill, on: b", ""},
		"slow and full":             {"kind: disk-slow, on: a, params: {delay: 1s}", "kind: disk-full, on: a", ""},
		"slow in two ways":          {"kind: disk-slow, on: a, params: {delay: 1s, operations: [read]}", "kind: disk-slow, on: a, params: {delay: 2s, operations: [fsync]}", ""},
		"killed and short of CPU":   {"kind: proc-kill, on: a", "kind: proc-cpu, on: a, params: {cores: 1}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := compileOn(t, claimable, "  faults:\n    - {id: f, "+c.first+"}\n    - {id: g, "+c.second+"}\n", plan.Options{})
			if c.want == "" {
				assert.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			assert.Equal(t, "s.yaml:13:7: "+c.want, problems[0].Error())
		})
	}
}

const claimable = `apiVersion: squall/v1
kind: System
metadata: {name: claimable}
spec:
  target: process
  services:
    a: {command: [./a], ports: [http], clock: {env: CLOCK}}
    b: {command: [./b], ports: [http]}
    pg: {command: [./pg], ports: [db], database: {user: shop, name: shop}}
    many: {command: [./many], ports: [http], replicas: 2}
  edges:
    a -> b: {protocol: nats, env: B_URL}
    a -> many: {protocol: http, env: MANY_URL}
    a -> pg: {protocol: postgres, env: PG_URL, port: db}
    b -> pg: {protocol: postgres, env: PG_URL, port: db}
  zones:
    north: [a, many-1]
`
