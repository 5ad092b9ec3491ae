package gameday

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/scenarios/spec"
)

const poolSystem = `apiVersion: squall/v1
kind: System
metadata: {name: pool}
spec:
  target: process
  defaults: {command: [x], ports: [http], port: http}
  services:
    front: {command: [x], replicas: 2}
    back: {command: [x], replicas: 2}
    store: {command: [x]}
  edges:
    client -> front: {protocol: http, env: FRONT}
    front -> back: {protocol: http, env: BACK}
    back -> store: {protocol: http, env: STORE}
  approvers:
    - {name: ana, key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKCbiKZpaUgQXN/AKxpDdXlXFzXlPfg3v4jrf0jfOQ0}
    - {name: ben, key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAi/r+hDmAnSb+v2X2rKdMEZb4+Ep2SEPqZvCyE7Rk4R}
  limits: LIMITS
`

const poolDay = `apiVersion: squall/v1
kind: GameDay
metadata: {name: pool-day}
spec:
  objectives: [Do we notice?]
  system: system.yaml
  steady: [{id: up, promql: min(up), atLeast: 1}]
  guardrails: [{id: down, promql: min(up), below: 1, for: 1s}]
  steps:
    - {id: ready, wait: Go?}
    - STEP
`

var made = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func compileDay(t *testing.T, limits, step string) (*Compiled, spec.Problems) {
	t.Helper()
	return compileOn(t, strings.Replace(poolSystem, "LIMITS", limits, 1), step)
}

func compileOn(t *testing.T, system, step string) (*Compiled, spec.Problems) {
	t.Helper()
	declared, ps := spec.ParseSystem("system.yaml", []byte(system))
	require.Empty(t, ps)
	sys, ps := declared.With()
	require.Empty(t, ps)
	day, ps := spec.ParseGameDay("day.yaml", []byte(strings.Replace(poolDay, "STEP", step, 1)))
	require.Empty(t, ps)
	return Compile(day, sys, Options{Made: made, Seed: 7, Registry: faults.Builtin(), Inputs: map[string]string{"day.yaml": "aa"}})
}

func fault(kind, on, params string) string {
	return "{id: f, fault: {kind: " + kind + ", on: " + on + params + "}, for: 30s}"
}

const (
	noLimits = "{}"
	late     = ", params: {latency: 1s}"
)

// What a fault hits, how far it may reach, and how grave it is.
func TestBlast(t *testing.T) {
	for name, tt := range map[string]struct {
		step, hits, reaches, risk string
		approvals                 int
	}{
		"one link of four":  {fault("net-latency", "front-1 -> back-2", late), "1 of 4 links to back (25%)", "back, front, client", "low", 1},
		"all links":         {fault("net-latency", "front -> back", late), "4 of 4 links to back (100%)", "back, front, client", "medium", 1},
		"one instance":      {fault("proc-kill", "back-1", ""), "1 of 2 instances of back (50%)", "back, front, client", "medium", 1},
		"all instances":     {fault("proc-kill", "back", ""), "2 of 2 instances of back (100%)", "back, front, client", "high", 2},
		"what all call":     {fault("proc-pause", "store", ""), "1 of 1 instances of store (100%)", "store, back, front, client", "high", 2},
		"the customers":     {fault("net-down", "client -> front", ""), "2 of 2 links to front (100%)", "front, client", "medium", 1},
		"a ramp is as well": {"{id: f, ramp: {kind: net-latency, on: front-1 -> back-1, each: 5s, levels: [{latency: 1s}, {latency: 2s}]}}", "1 of 4 links to back (25%)", "back, front, client", "low", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, ps := compileDay(t, noLimits, tt.step)
			require.Empty(t, ps)
			f := c.Plan.Steps[1].Faults[0]
			require.Len(t, f.Hits, 1)
			assert.Equal(t, tt.hits, f.Hits[0].String())
			assert.Equal(t, tt.reaches, strings.Join(f.Reaches, ", "))
			assert.Equal(t, tt.risk, c.Plan.Risk)
			assert.Equal(t, tt.approvals, c.Plan.Approvals)
			require.Len(t, f.Undo, 1)
			assert.NotEmpty(t, f.Undo[0])
		})
	}
}

// What exceeds a limit is refused, at its place.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct{ limits, step, want string }{
		"share":        {"{share: 50%}", fault("proc-kill", "back", ""), "day.yaml:11:22: exceeds the limits of system.yaml: fault f hits 2 of 2 instances of back (100%), share is 50%"},
		"share kept":   {"{share: 50%}", fault("proc-kill", "back-1", ""), ""},
		"services":     {"{services: 1}", fault("net-latency", "'front, back -> back, store'", late), "hits 2 services, services is 1"},
		"stand":        {"{stand: 10s}", fault("proc-kill", "back", ""), "stands for 30s, stand is 10s"},
		"never":        {"{never: [proc-kill]}", fault("proc-kill", "back", ""), "is a proc-kill, which is never allowed"},
		"kinds":        {"{kinds: [net-latency]}", fault("proc-kill", "back", ""), "is a proc-kill, kinds are net-latency"},
		"protected":    {"{protected: [store]}", fault("net-latency", "back -> store", late), "hits store, which is protected"},
		"approvals":    {"{approvals: {high: 1}}", fault("proc-kill", "back", ""), ""},
		"unknown kind": {"{}", fault("proc-kil", "back", ""), `unknown kind "proc-kil" (did you mean "proc-kill"?)`},
		"unknown on":   {"{}", fault("proc-kill", "bakc", ""), `unknown target "bakc"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, ps := compileDay(t, tt.limits, tt.step)
			if tt.want == "" {
				assert.Empty(t, ps)
				return
			}
			assert.Contains(t, ps.Error(), tt.want)
		})
	}
}

// The same day resolved twice is the same plan to the byte, and any other is not.
func TestPlanIsCanonical(t *testing.T) {
	a, ps := compileDay(t, noLimits, fault("proc-kill", "back", ""))
	require.Empty(t, ps)
	b, _ := compileDay(t, noLimits, fault("proc-kill", "back", ""))
	assert.Equal(t, a.Plan.Hash(), b.Plan.Hash())
	assert.Empty(t, a.Plan.Drift(b.Plan))
	again, err := Decode(a.Plan.Encode())
	require.NoError(t, err)
	assert.Equal(t, a.Plan.Hash(), again.Hash())

	other, _ := compileDay(t, noLimits, fault("proc-kill", "back-1", ""))
	assert.NotEqual(t, a.Plan.Hash(), other.Plan.Hash())
	assert.Contains(t, a.Plan.Drift(other.Plan), `steps.f.faults.f.on: was "back", is "back-1"`)
	assert.Contains(t, a.Plan.Drift(other.Plan), `steps.f.faults.f.targets.1: was "back-2", is absent`)

	for name, edit := range map[string]func(string) string{
		"a space":  func(s string) string { return strings.Replace(s, ": ", ":  ", 1) },
		"a field":  func(s string) string { return strings.Replace(s, "{", `{"more": 1,`, 1) },
		"a format": func(s string) string { return strings.Replace(s, `"format": 1`, `"format": 2`, 1) },
		"twice":    func(s string) string { return s + s },
	} {
		_, err := Decode([]byte(edit(string(a.Plan.Encode()))))
		assert.Error(t, err, name)
	}
}

const foreignSystem = `apiVersion: squall/v1
kind: System
metadata: {name: foreign}
spec:
  target: remote
  services:
    front: {at: {http: "127.0.0.1:1"}}
    back:
      at: {http: "127.0.0.1:1"}
      hooks:
        state: [state]
        kill: {do: [kill], undo: [sh, -c, start it]}
        pause: {do: [pause], undo: [go, "on"]}
  edges:
    client -> front: {protocol: http, env: FRONT, through: {squall: "http://127.0.0.1:1", proxy: front}}
    front -> back: {protocol: http, env: BACK, through: {toxiproxy: "http://127.0.0.1:1", proxy: back}}
  approvers: [{name: ana, key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKCbiKZpaUgQXN/AKxpDdXlXFzXlPfg3v4jrf0jfOQ0}]
`

// Whoever approves is told what undoes a fault on somebody else's system, and who
// does it if the runner is gone.
func TestUndoOfWhatIsForeign(t *testing.T) {
	for name, tt := range map[string]struct{ step, undo string }{
		"a hook":         {fault("proc-kill", "back", ""), "by hook: sh -c 'start it'. If the runner falls silent, the watchdog does it."},
		"its other hook": {fault("proc-pause", "back", ""), "by hook: go on. If the runner falls silent, the watchdog does it."},
		"a stock server": {fault("net-latency", "front -> back", late), "If the runner falls silent, the watchdog does it."},
		"a squall proxy": {fault("net-latency", "client -> front", late), "If the runner falls silent, it ends by itself with its lease."},
	} {
		t.Run(name, func(t *testing.T) {
			c, ps := compileOn(t, foreignSystem, tt.step)
			require.Empty(t, ps)
			undo := c.Plan.Steps[1].Faults[0].Undo
			require.Len(t, undo, 1)
			assert.True(t, strings.HasSuffix(undo[0], tt.undo), undo[0])
		})
	}
}
