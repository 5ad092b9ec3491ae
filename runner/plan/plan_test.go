package plan_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

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
    a: {command: [./a], ports: [http]}
    b: {command: [./b], ports: [http, client]}
  edges:
    a -> b: {protocol: http, env: B_URL}
    b -> a: {protocol: nats, env: A_URL}
  defects:
    env: DEFECTS
    known: {X1: one, X2: two}
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

func compile(t *testing.T, body string, o plan.Options) (*plan.Plan, spec.Problems) {
	t.Helper()
	dir := t.TempDir()
	file := dir + "/system.yaml"
	require.NoError(t, os.WriteFile(file, []byte(system), 0o644))
	sys, problems := spec.LoadSystem(file)
	require.Empty(t, problems)
	sys.File = "system.yaml"
	sc, problems := spec.Parse("s.yaml", []byte(head+body))
	require.Empty(t, problems)
	o.Registry = faults.Builtin()
	return plan.Compile(sc, sys, o)
}

func TestPrint(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: slow, kind: net-latency, on: a -> b, params: {latency: 3s}}
    - {id: kill, kind: proc-kill, on: b, at: 2s, for: 3s}
`, plan.Options{Seed: 7, Defects: []string{"X2", "X1"}})
	require.Empty(t, problems)
	var out bytes.Buffer
	require.NoError(t, p.Print(&out))
	const golden = "testdata/plan.txt"
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
			want: `s.yaml:11:12: fault f: unknown kind "net-latencie" (did you mean "net-latency"?)`,
		},
		"unknown target": {
			body: "  faults: [{id: f, kind: net-down, on: a -> c}]\n",
			want: `s.yaml:11:12: fault f: unknown target "a -> c": no edge or service of system.yaml (did you mean "a -> b"?)`,
		},
		"network fault on a service": {
			body: "  faults: [{id: f, kind: net-down, on: a}]\n",
			want: `s.yaml:11:12: fault f: net-down needs a tcp link, "a" is a service`,
		},
		"HTTP fault on an edge that speaks something else": {
			body: "  faults: [{id: f, kind: http-error, on: b -> a}]\n",
			want: `s.yaml:11:12: fault f: http-error needs a http link, "b -> a" speaks nats`,
		},
		"process fault on an edge": {
			body: "  faults: [{id: f, kind: proc-kill, on: a -> b}]\n",
			want: `s.yaml:11:12: fault f: proc-kill needs a process, "a -> b" speaks http`,
		},
		"unknown defect": {
			body: "  faults: [{id: f, kind: net-down, on: a -> b}]\n",
			opts: plan.Options{Defects: []string{"X3"}},
			want: `system.yaml:1:1: unknown defect "X3" (did you mean "X1"?)`,
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

func TestStepsAreInOrder(t *testing.T) {
	p, problems := compile(t, `  faults:
    - {id: first, kind: net-down, on: a -> b, at: 1s}
    - {id: second, kind: net-reset, on: a -> b, for: 1s}
    - {id: third, kind: net-latency, on: a -> b, at: 1s, params: {latency: 1s}}
`, plan.Options{})
	require.Empty(t, problems)
	var got []string
	for _, s := range p.Steps() {
		what := "inject "
		if s.Revert {
			what = "revert "
		}
		got = append(got, s.At.String()+" "+what+s.Fault.ID)
	}
	assert.Equal(t, []string{
		"0s inject second", "1s revert second", "1s inject first", "1s inject third", "10s revert third", "10s revert first",
	}, got, "at one instant reverts come first, and of those the newest")
}
