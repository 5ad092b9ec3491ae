// Package plan resolves a scenario against a system: every target, instant and
// choice, before anything is touched. A plan is pure data, printable and hashed.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"squall/faults"
	"squall/scenarios/spec"
)

// Phase names, in their order.
const (
	Warmup   = "warmup"
	Baseline = "baseline"
	FaultOn  = "fault"
	Recovery = "recovery"
	Settle   = "settle"
)

// Plan is the resolved timeline of one run.
type Plan struct {
	Scenario   string            `json:"scenario"`
	Title      string            `json:"title,omitempty"`
	Hypothesis string            `json:"hypothesis"`
	System     string            `json:"system"`
	Switches   []string          `json:"switches,omitempty"` // of the system that are on
	Target     string            `json:"target"`
	Seed       uint64            `json:"seed"`
	Defects    []string          `json:"defects,omitempty"`
	Load       Load              `json:"load"`
	Phases     []Phase           `json:"phases"`
	Faults     []Fault           `json:"faults"`
	Actions    []Action          `json:"actions,omitempty"`
	Steady     []string          `json:"steady"`
	Expect     []string          `json:"expect"`
	Guardrails []string          `json:"guardrails,omitempty"`
	Inputs     map[string]string `json:"inputs"` // file name to SHA-256
}

// Load is what the generator is asked for.
type Load struct {
	Script    string        `json:"script"`
	PerSecond float64       `json:"per_second"` // before the first stage
	Stages    []Stage       `json:"stages,omitempty"`
	Longest   time.Duration `json:"longest"` // nanoseconds
}

// Stage is a change of the arrival rate, which stands until the next one.
type Stage struct {
	At        time.Duration `json:"at"` // nanoseconds from the start of the load
	PerSecond float64       `json:"per_second"`
}

// Phase is one span of the timeline, in nanoseconds from the start of the load.
type Phase struct {
	Name    string        `json:"name"`
	Start   time.Duration `json:"start"`
	Longest time.Duration `json:"longest"`
}

// Fault is one fault with its target and instants resolved.
type Fault struct {
	ID      string        `json:"id"`
	Kind    string        `json:"kind"`
	On      string        `json:"on"`      // as the scenario names it
	Targets []Target      `json:"targets"` // what that is: instances, or edges between them
	Seed    uint64        `json:"seed"`    // its own stream of chance
	Says    string        `json:"says"`    // parameters in words
	At      time.Duration `json:"at"`      // after the fault phase began
	Until   time.Duration `json:"until"`   // after the fault phase began
}

// Target is one thing that a fault acts on. The targets of a composite fault
// differ in kind, and are acted on step by step.
type Target struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Step int    `json:"step,omitempty"`

	Decode func(into any) error `json:"-"` // the parameters
	Claim  string               `json:"-"` // what no other fault may have at the same time, in words; empty: nothing
}

// Action is one step of the scenario.
type Action struct {
	ID     string        `json:"id"`
	During string        `json:"during"`
	At     time.Duration `json:"at"`   // after that phase began
	Says   string        `json:"says"` // what it does, in words
	Act    spec.Act      `json:"act"`
}

// Acts reports whether the fault acts on an instance or an edge between instances.
func (f Fault) Acts(name string) bool {
	return slices.ContainsFunc(f.Targets, func(t Target) bool { return t.Name == name })
}

// Options are the choices of one run that the scenario does not make.
type Options struct {
	Seed     uint64
	Defects  []string
	Registry faults.Registry
	Inputs   map[string]string // file name to SHA-256
	Here     bool              // refuse what this machine cannot do
}

// Compile resolves the scenario against the system that is run (spec.System.With). The problems name every mistake that only
// shows when scenario, system and fault catalogue are seen together.
func Compile(sc *spec.Scenario, sys *spec.System, o Options) (*Plan, spec.Problems) {
	c := compiler{sc: sc, sys: sys, o: o}
	p := &Plan{
		Scenario:   sc.Metadata.Name,
		Title:      sc.Metadata.Title,
		Hypothesis: sc.Spec.Hypothesis,
		System:     sys.Metadata.Name,
		Switches:   sys.Switches,
		Target:     sys.Spec.Target,
		Seed:       o.Seed,
		Defects:    slices.Sorted(slices.Values(o.Defects)),
		Phases:     phases(sc.Spec.Phases),
		Inputs:     o.Inputs,
	}
	last := p.Phases[len(p.Phases)-1]
	p.Load = Load{
		Script: sc.Spec.Load.Script, PerSecond: sc.Spec.Load.Arrival.PerSecond,
		Stages: stages(sc.Spec.Load, p.Phase(FaultOn)), Longest: last.Start + last.Longest,
	}
	for _, f := range sc.Spec.Faults {
		if pf, ok := c.fault(f); ok {
			p.Faults = append(p.Faults, pf)
		}
	}
	c.conflicts(p.Faults)
	for _, s := range sc.Spec.Steps {
		c.mistakes(s)
		p.Actions = append(p.Actions, Action{s.ID, s.During, time.Duration(s.At), s.Describe(), s.Act})
	}
	for _, k := range sc.Spec.Steady {
		p.Steady = append(p.Steady, k.ID)
	}
	for _, k := range sc.Spec.Expect {
		p.Expect = append(p.Expect, k.ID)
	}
	for _, g := range sc.Spec.Guardrails {
		p.Guardrails = append(p.Guardrails, g.ID)
	}
	c.defects()
	c.proves()
	c.problems.Sort()
	return p, c.problems
}

func phases(ph spec.Phases) []Phase {
	var out []Phase
	var at time.Duration
	for _, x := range []struct {
		name string
		d    spec.Duration
	}{{Warmup, ph.Warmup}, {Baseline, ph.Baseline}, {FaultOn, ph.Fault}, {Recovery, ph.Recovery}} {
		out = append(out, Phase{Name: x.name, Start: at, Longest: time.Duration(x.d)})
		at += time.Duration(x.d)
	}
	return out
}

// stages are the changes of the load's rate, the last of them back to what it was.
func stages(l spec.LoadSpec, during Phase) (out []Stage) {
	for _, s := range l.Stages {
		out = append(out, Stage{during.Start + time.Duration(s.At), s.Arrival.PerSecond})
	}
	if len(out) > 0 {
		out = append(out, Stage{during.Start + during.Longest, l.Arrival.PerSecond})
	}
	return out
}

// Phase returns the phase of that name.
func (p *Plan) Phase(name string) Phase {
	for _, ph := range p.Phases {
		if ph.Name == name {
			return ph
		}
	}
	return Phase{Name: name}
}

// Hash is the SHA-256 of the canonical plan (JSON, keys in order). Two runs of
// equal hash had the same inputs, seed, targets and instants.
func (p *Plan) Hash() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("plan: encode: %v", err)) // plain data always encodes
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// SeedFor derives the seed of one component, so that adding one shifts no other
// (FNV-1a of the name, mixed into the run's seed by splitmix64's finalizer).
func SeedFor(seed uint64, component string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(component))
	z := seed ^ h.Sum64()
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

type compiler struct {
	sc       *spec.Scenario
	sys      *spec.System
	o        Options
	problems spec.Problems
}

func (c *compiler) problem(pos spec.Pos, suggest, format string, args ...any) {
	c.problems = append(c.problems, spec.Problem{Pos: pos, Msg: fmt.Sprintf(format, args...), Suggest: suggest})
}

// known lists the system's defects.
func (c *compiler) known() []string {
	if c.sys.Spec.Defects == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.sys.Spec.Defects.Known))
}

func (c *compiler) defects() {
	at := spec.Pos{File: c.sys.File, Line: 1, Col: 1}
	for _, d := range c.o.Defects {
		switch {
		case !slices.Contains(c.known(), d):
			c.problem(at, spec.Suggest(d, c.known()), "unknown defect %q", d)
		case !c.carried(d):
			c.problem(at, "", "defect %s: no service that is part of the system knows it", d)
		}
	}
}

// carried reports whether some service of the system has the defect.
func (c *compiler) carried(defect string) bool {
	for _, svc := range c.sys.Spec.Services {
		if slices.Contains(svc.Defects, defect) {
			return true
		}
	}
	return false
}

func (c *compiler) mistakes(s spec.Step) {
	for _, m := range s.Mistakes(c.sys) {
		c.problem(s.Where(m.Field), m.Suggest, "step %s: %s", s.ID, m.Msg)
	}
}

func (c *compiler) proves() {
	for _, pr := range c.sc.Spec.Proves {
		if !slices.Contains(c.known(), pr.Defect) {
			c.problem(pr.Pos, spec.Suggest(pr.Defect, c.known()), "proves: unknown defect %q", pr.Defect)
		} else if !c.carried(pr.Defect) {
			c.problem(pr.Pos, "", "proves: no service that is part of the system knows defect %s", pr.Defect)
		}
	}
}
