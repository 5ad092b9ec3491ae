package plan_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/plan"
	"squall/scenarios/spec"
)

var update = flag.Bool("update", false, "rewrite golden files")

const system = `apiVersion: squall/v1
kind: System
metadata: {name: pair}
spec:
  target: process
  services:
    a: {command: [./a], ports: [http], defects: [X1, X2]}
    b: {command: [./b], ports: [http, client]}
    pg: {command: [./pg], ports: [db]}
    many: {command: [./many], ports: [http], replicas: 2}
    extra: {command: [./extra], ports: [http], replicas: 2, when: full, defects: [X3]}
  edges:
    a -> b: {protocol: http, env: B_URL}
    b -> a: {protocol: nats, env: A_URL}
    b -> pg: {protocol: postgres, env: PG_URL, port: db}
    a -> many: {protocol: http, env: MANY_URL}
    many -> b: {protocol: nats, env: BUS_URL, port: client}
    many -> extra: {protocol: http, env: EXTRA_URL}
  switches:
    full: {}
  zones:
    north: [a, many-1]
    south: [extra]
  defects:
    env: DEFECTS
    known: {X1: one, X2: two, X3: three}
`

const head = `apiVersion: squall/v1
kind: Scenario
metadata: {name: s, title: A title}
spec:
  hypothesis: It holds.
  system: system.yaml
  load: {script: load.js, arrival: 40/s}
  phases: {warmup: 1s, baseline: 5s, fault: 10s, recovery: 20s}
  steady: [{id: ok, promql: up, atLeast: 1}]
  expect: [{id: still, promql: up, atLeast: 1}]
`

func compile(t *testing.T, body string, o plan.Options, switches ...spec.Choice) (*plan.Plan, spec.Problems) {
	t.Helper()
	return compileOn(t, system, body, o, switches...)
}

func compileOn(t *testing.T, system, body string, o plan.Options, switches ...spec.Choice) (*plan.Plan, spec.Problems) {
	t.Helper()
	dir := t.TempDir()
	file := dir + "/system.yaml"
	require.NoError(t, os.WriteFile(file, []byte(system), 0o644))
	sys, problems := spec.LoadSystem(file)
	require.Empty(t, problems)
	sys.File = "system.yaml"
	sys, problems = sys.With(switches...)
	require.Empty(t, problems)
	sc, problems := spec.Parse("s.yaml", []byte(head+body))
	require.Empty(t, problems)
	if o.Registry == nil {
		o.Registry = faults.Builtin()
	}
	return plan.Compile(sc, sys, o)
}

func TestPrint(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: slow, kind: net-latency, on: a -> b, params: {latency: 3s}}
    - {id: kill, kind: proc-kill, on: b, at: 2s, for: 3s}
`, plan.Options{Seed: 7, Defects: []string{"X2", "X1"}})
	require.Empty(t, problems)
	golden(t, "testdata/plan.txt", p)
}

func TestPrintTakesCompositesApart(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: lost, kind: zone-loss, on: north}
    - {id: cut, kind: net-partition, on: "a | b, many-2", at: 2s, for: 3s}
    - {id: gone, kind: outage, on: b}
`, plan.Options{Seed: 7})
	require.Empty(t, problems)
	golden(t, "testdata/composites.txt", p)
}

func TestPrintNamesInstancesAndSwitches(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: slow, kind: net-latency, on: many -> extra, params: {latency: 3s}}
    - {id: kill, kind: proc-kill, on: many, at: 2s, for: 3s}
    - {id: one, kind: proc-kill, on: extra-2, at: 2s, for: 3s}
`, plan.Options{Seed: 7}, spec.Choice{Name: "full"})
	require.Empty(t, problems)
	golden(t, "testdata/instances.txt", p)
}

func TestPrintShowsStages(t *testing.T) {
	file := t.TempDir() + "/system.yaml"
	require.NoError(t, os.WriteFile(file, []byte(system), 0o644))
	sys, problems := spec.LoadSystem(file)
	require.Empty(t, problems)
	sys.File = "system.yaml"
	sys, problems = sys.With()
	require.Empty(t, problems)
	text := strings.Replace(head, "arrival: 40/s", "arrival: 40/s, stages: [{arrival: 60/s}, {at: 2s, arrival: 80/s}]", 1)
	sc, problems := spec.Parse("s.yaml", []byte(text))
	require.Empty(t, problems)
	p, problems := plan.Compile(sc, sys, plan.Options{Seed: 7, Registry: faults.Builtin()})
	require.Empty(t, problems)
	assert.Equal(t, []plan.Stage{{At: 6 * time.Second, PerSecond: 60}, {At: 8 * time.Second, PerSecond: 80}, {At: 16 * time.Second, PerSecond: 40}}, p.Load.Stages)
	golden(t, "testdata/stages.txt", p)
}

// A group is one fault with a target for each.
func TestTargets(t *testing.T) {
	names := func(f plan.Fault) (out []string) {
		for _, x := range f.Targets {
			out = append(out, x.Name)
		}
		return out
	}
	for on, want := range map[string][]string{
		"net-down, on: a -> many":                              {"a -> many-1", "a -> many-2"},
		"net-down, on: a -> many-2":                            {"a -> many-2"},
		"proc-kill, on: many":                                  {"many-1", "many-2"},
		"proc-kill, on: many-1":                                {"many-1"},
		"proc-kill, on: b":                                     {"b"},
		"bus-poison, on: many -> b, params: {subject: orders}": {"many-1 -> b"}, // the broker is one
		"net-partition, on: 'many-1, a | b'":                   {"a -> b", "b -> a", "many-1 -> b"},
		"net-partition, on: 'many-1, a -> b'":                  {"a -> b", "many-1 -> b"},
		"proc-kill, on: north":                                 {"a", "many-1"},
		"outage, on: many":                                     {"many-1", "many-2"},
		"outage, on: many-2, params: {how: hang}":              {"a -> many-2"},
		"outage, on: many, params: {how: error}":               {"a -> many-1", "a -> many-2"},
		"zone-loss, on: north":                                 {"a -> b", "b -> a", "a -> many-2", "many-1 -> b", "a", "many-1"},
	} {
		p, problems := compile(t, "  faults: [{id: f, kind: "+on+"}]\n", plan.Options{Seed: 1})
		require.Empty(t, problems, on)
		f := p.Faults[0]
		assert.Equal(t, want, names(f), on)
		assert.True(t, f.Acts(want[0]) && !f.Acts("c"), on)
		assert.Equal(t, plan.SeedFor(1, "fault f"), f.Seed, on)
	}
}

func golden(t *testing.T, golden string, p *plan.Plan) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, p.Print(&out))
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), out.String())
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		opts plan.Options
		want string
	}{
		"unknown kind": {
			body: "  faults: [{id: f, kind: net-latencie, on: a -> b, params: {latency: 1s}}]\n",
			want: `s.yaml:11:26: fault f: unknown kind "net-latencie" (did you mean "net-latency"?)`,
		},
		"unknown target": {
			body: "  faults: [{id: f, kind: net-down, on: a -> c}]\n",
			want: `s.yaml:11:40: fault f: unknown target "a -> c": no edge or service of system.yaml (did you mean "a -> b"?)`,
		},
		"network fault on a service": {
			body: "  faults: [{id: f, kind: net-down, on: a}]\n",
			want: `s.yaml:11:40: fault f: net-down needs a tcp link, "a" is a service`,
		},
		"HTTP fault on an edge that speaks something else": {
			body: "  faults: [{id: f, kind: http-error, on: b -> a}]\n",
			want: `s.yaml:11:42: fault f: http-error needs a http link, "b -> a" speaks nats`,
		},
		"node of a bus that is none": {
			body: "  faults: [{id: f, kind: bus-node-kill, on: many}]\n",
			want: `s.yaml:11:45: fault f: bus-node-kill needs a node of a nats broker, "many" is called by no nats link`,
		},
		"database fault on an edge that speaks something else": {
			body: "  faults: [{id: f, kind: db-hang, on: a -> b}]\n",
			want: `s.yaml:11:39: fault f: db-hang needs a postgres link, "a -> b" speaks http`,
		},
		"database that squall may not log in to": {
			body: "  faults: [{id: f, kind: db-lock, on: b -> pg, params: {table: orders}}]\n",
			want: `s.yaml:11:39: fault f: db-lock needs a postgres link to a database that squall may log in to, "b -> pg" leads to pg, whose database: is not in the system file`,
		},
		"process fault on an edge": {
			body: "  faults: [{id: f, kind: proc-kill, on: a -> b}]\n",
			want: `s.yaml:11:41: fault f: proc-kill needs a process, "a -> b" speaks http`,
		},
		"target that is not there without a switch": {
			body: "  faults: [{id: f, kind: proc-kill, on: extra}]\n",
			want: `s.yaml:11:41: fault f: "extra" is not part of the system: it is there only with switch full`,
		},
		"instance that is not there without a switch": {
			body: "  faults: [{id: f, kind: proc-kill, on: extra-1}]\n",
			want: `s.yaml:11:41: fault f: "extra-1" is not part of the system: it is there only with switch full`,
		},
		"edge that is not there without a switch": {
			body: "  faults: [{id: f, kind: net-down, on: many -> extra}]\n",
			want: `s.yaml:11:40: fault f: "many -> extra" is not part of the system: extra: it is there only with switch full`,
		},
		"instance that does not exist": {
			body: "  faults: [{id: f, kind: proc-kill, on: many-3}]\n",
			want: `s.yaml:11:41: fault f: unknown target "many-3": no edge or service of system.yaml (did you mean "many-1"?)`,
		},
		"process fault on a group of edges": {
			body: "  faults: [{id: f, kind: proc-kill, on: a -> many}]\n",
			want: `s.yaml:11:41: fault f: proc-kill needs a process, "a -> many" speaks http`,
		},
		"side that is not there": {
			body: "  faults: [{id: f, kind: net-partition, on: 'a, meny | b'}]\n",
			want: `s.yaml:11:45: fault f: unknown target "meny": no service or zone of system.yaml (did you mean "many"?)`,
		},
		"side that is not there without a switch": {
			body: "  faults: [{id: f, kind: net-partition, on: 'a | b, extra-1'}]\n",
			want: `s.yaml:11:45: fault f: "extra-1" is not part of the system: it is there only with switch full`,
		},
		"sides that do not call each other": {
			body: "  faults: [{id: f, kind: net-partition, on: many-1 | many-2}]\n",
			want: `s.yaml:11:45: fault f: nobody calls anybody between the sides of "many-1 | many-2"`,
		},
		"member of a side that does nothing": {
			body: "  faults: [{id: f, kind: net-partition, on: 'a, many-2 -> many-1'}]\n",
			want: `s.yaml:11:45: fault f: many-2 has no calls between it and the other side of "a, many-2 -> many-1"`,
		},
		"zone that is not there without a switch": {
			body: "  faults: [{id: f, kind: zone-loss, on: south}]\n",
			want: `s.yaml:11:41: fault f: "south" is not part of the system: nothing of it is there`,
		},
		"zone-loss on a service": {
			body: "  faults: [{id: f, kind: zone-loss, on: a}]\n",
			want: `s.yaml:11:41: fault f: zone-loss needs a zone, "a" is a service`,
		},
		"network fault on a zone": {
			body: "  faults: [{id: f, kind: net-down, on: north}]\n",
			want: `s.yaml:11:40: fault f: net-down needs a tcp link, "north" is a zone`,
		},
		"outage of an edge": {
			body: "  faults: [{id: f, kind: outage, on: a -> b}]\n",
			want: `s.yaml:11:38: fault f: outage needs a service, "a -> b" speaks http`,
		},
		"composite's parameters": {
			body: "  faults: [{id: f, kind: outage, on: a, params: {how: magic}}]\n",
			want: `s.yaml:11:55: how: unknown value "magic", want one of kill, refuse, hang, error`,
		},
		"part of a composite that cannot be": {
			body: "  faults: [{id: f, kind: outage, on: b, params: {how: error}}]\n",
			want: `s.yaml:11:38: fault f: http-error needs a http link, "* -> b" speaks nats`,
		},
		"trigger at an edge that is not there": {
			body: "  faults: [{id: f, kind: net-timeout, on: a -> b, params: {after: {edge: a -> c}}}]\n",
			want: `s.yaml:11:59: fault f: net-timeout: it waits for an unknown edge "a -> c" (did you mean "a -> b"?)`,
		},
		"defect that no service has": {
			body: "  faults: [{id: f, kind: net-down, on: a -> b}]\n",
			opts: plan.Options{Defects: []string{"X3"}},
			want: `system.yaml:1:1: defect X3: no service that is part of the system knows it`,
		},
		"unknown defect": {
			body: "  faults: [{id: f, kind: net-down, on: a -> b}]\n",
			opts: plan.Options{Defects: []string{"X4"}},
			want: `system.yaml:1:1: unknown defect "X4" (did you mean "X1"?)`,
		},
		"claims an unknown defect": {
			body: "  faults: [{id: f, kind: net-down, on: a -> b}]\n  proves: [X9]\n",
			want: `s.yaml:12:12: proves: unknown defect "X9" (did you mean "X1"?)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := compile(t, c.body, c.opts)
			require.Len(t, problems, 1)
			assert.Equal(t, c.want, problems[0].Error())
		})
	}
}

// What a machine lacks is refused where it is to run, and nowhere else.
func TestKindThatThisMachineLacks(t *testing.T) {
	reg := faults.Builtin()
	k := reg["net-down"]
	k.Missing = func() string { return "no packet filter" }
	reg["net-down"] = k
	const body = "  faults: [{id: f, kind: net-down, on: a -> b}]\n"
	_, problems := compile(t, body, plan.Options{Registry: reg})
	assert.Empty(t, problems)
	_, problems = compile(t, body, plan.Options{Registry: reg, Here: true})
	require.Len(t, problems, 1)
	assert.Equal(t, "s.yaml:11:12: fault f: this machine cannot do net-down: no packet filter", problems[0].Error())
	_, problems = compile(t, "  faults: [{id: f, kind: outage, on: b, params: {how: refuse}}]\n", plan.Options{Registry: reg, Here: true})
	require.Len(t, problems, 1, "part of a composite")
}

func TestHashFollowsEveryChoice(t *testing.T) {
	body := "  faults: [{id: f, kind: net-latency, on: a -> b, params: {latency: 1s}}]\n"
	base, problems := compile(t, body, plan.Options{Seed: 1})
	require.Empty(t, problems)
	same, _ := compile(t, body, plan.Options{Seed: 1})
	assert.Equal(t, base.Hash(), same.Hash())
	for name, other := range map[string]func() (*plan.Plan, spec.Problems){
		"seed": func() (*plan.Plan, spec.Problems) { return compile(t, body, plan.Options{Seed: 2}) },
		"defects": func() (*plan.Plan, spec.Problems) {
			return compile(t, body, plan.Options{Seed: 1, Defects: []string{"X1"}})
		},
		"switches": func() (*plan.Plan, spec.Problems) {
			return compile(t, body, plan.Options{Seed: 1}, spec.Choice{Name: "full"})
		},
		"parameters": func() (*plan.Plan, spec.Problems) {
			return compile(t, "  faults: [{id: f, kind: net-latency, on: a -> b, params: {latency: 2s}}]\n", plan.Options{Seed: 1})
		},
		"inputs": func() (*plan.Plan, spec.Problems) {
			return compile(t, body, plan.Options{Seed: 1, Inputs: map[string]string{"load.js": "00"}})
		},
	} {
		p, problems := other()
		require.Empty(t, problems)
		assert.NotEqual(t, base.Hash(), p.Hash(), name)
	}
}

func TestSeedsOfComponentsAreApart(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(100) {
		for _, name := range []string{"load", "fault a", "fault b"} {
			s := plan.SeedFor(seed, name)
			assert.False(t, seen[s], "seed %d of %s is taken", seed, name)
			seen[s] = true
		}
	}
	assert.Equal(t, plan.SeedFor(1, "load"), plan.SeedFor(1, "load"))
}

// What the scenario does meets the faults of its instant, and is refused where it
// is aimed at nothing.
func TestActions(t *testing.T) {
	p, problems := compile(t, `  faults: [{id: f, kind: net-down, on: a -> b, at: 1s, for: 1s}]
  steps:
    - {id: tell, at: 1s, http: {service: a, path: /switch, method: PUT}}
    - {id: look, during: recovery, command: {run: [look, '${b.http}']}}
`, plan.Options{})
	require.Empty(t, problems)
	steps := p.Steps(plan.FaultOn)
	require.Len(t, steps, 3)
	assert.Equal(t, "PUT /switch of a", steps[1].Action.Says)
	require.Len(t, p.Steps(plan.Recovery), 1)
	assert.Equal(t, "look", p.Steps(plan.Recovery)[0].Action.ID)
	assert.Empty(t, p.Steps(plan.Baseline))

	_, problems = compile(t, `  steps:
    - {id: tell, http: {service: z, path: /switch}}
    - {id: look, command: {run: [look], env: {TO: '${b.bus}'}}}
`, plan.Options{})
	require.Len(t, problems, 2)
	assert.Contains(t, problems[0].Error(), `step tell: service: unknown service "z"`)
	assert.Contains(t, problems[1].Error(), `step look: env: ${b.bus}: port: b has no port "bus"`)
}

func TestStepsAreInOrder(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: first, kind: net-down, on: a -> b, at: 1s}
    - {id: second, kind: net-reset, on: a -> b, for: 1s}
    - {id: third, kind: net-latency, on: a -> b, at: 1s, params: {latency: 1s}}
`, plan.Options{})
	require.Empty(t, problems)
	var got []string
	for _, s := range p.Steps(plan.FaultOn) {
		what := " inject"
		if s.Revert {
			what = " revert"
		}
		for _, f := range s.Faults {
			what += " " + f.ID
		}
		got = append(got, s.At.String()+what)
	}
	assert.Equal(t, []string{
		"0s inject second", "1s revert second", "1s inject first", "1s inject third", "10s revert third first",
	}, got, "at one instant reverts come first and are one step")
}
