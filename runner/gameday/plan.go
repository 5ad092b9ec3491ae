// Package gameday plans, guards and runs a game day: people break a system
// together, and must be able to trust that it stops, heals, and leaves a record
// worth reading.
package gameday

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"squall/faults"
	"squall/runner/plan"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// Plan is a game day with everything resolved: what approvers sign and what is
// run. It is pure data; equal plans have equal bytes.
type Plan struct {
	Format     int               `json:"format"`
	Day        string            `json:"day"`
	Title      string            `json:"title,omitempty"`
	File       string            `json:"file"` // of the day, as it was named
	Made       time.Time         `json:"made"`
	Expires    time.Time         `json:"expires"`
	Deadline   string            `json:"deadline"`
	Window     string            `json:"window,omitempty"`
	Freeze     string            `json:"freeze,omitempty"`
	Objectives []string          `json:"objectives"`
	System     string            `json:"system"`
	SystemFile string            `json:"system_file"` // as it was named
	Target     string            `json:"target"`
	Switches   []string          `json:"switches,omitempty"`
	Seed       uint64            `json:"seed"`
	Load       string            `json:"load,omitempty"`
	Risk       string            `json:"risk"`
	Approvals  int               `json:"approvals"` // how many it needs
	Approvers  []string          `json:"approvers,omitempty"`
	Steady     []string          `json:"steady"`
	Guardrails []string          `json:"guardrails"`
	Steps      []Step            `json:"steps"`
	Inputs     map[string]string `json:"inputs"` // file name to SHA-256
}

// Step is one step of the day, resolved.
type Step struct {
	ID       string  `json:"id"`
	Does     string  `json:"does"` // scenario, fault, ramp, wait, hold
	Says     string  `json:"says"` // in words
	Longest  string  `json:"longest,omitempty"`
	Until    string  `json:"until,omitempty"` // person: a person may end it before
	Playbook string  `json:"playbook,omitempty"`
	Faults   []Fault `json:"faults,omitempty"`
	Scenario string  `json:"scenario,omitempty"` // SHA-256 of its own plan
}

// Fault is one fault with its targets, and how much it breaks.
type Fault struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	On      string   `json:"on"`
	Says    string   `json:"says"`
	Stands  string   `json:"stands"`
	Targets []string `json:"targets"`
	Hits    []Hit    `json:"hits"`
	Reaches []string `json:"reaches"` // in the worst case: whoever calls what is hit, and their callers
	Undo    []string `json:"undo"`
}

// Compiled is a plan together with what it takes to run it.
type Compiled struct {
	Plan   *Plan
	Day    *spec.GameDay
	System *spec.System // as it is run
	Live   *plan.Plan   // the day's own faults, by their ids
	Subs   map[string]*Sub
}

// Sub is a scenario that is a step of the day.
type Sub struct {
	Scenario *spec.Scenario // with the day's guardrails
	Plan     *plan.Plan
}

// Options are what a day's file does not say.
type Options struct {
	Made      time.Time
	Seed      uint64
	Registry  faults.Registry
	Inputs    map[string]string // file name to SHA-256
	Here      bool              // refuse what this machine cannot do
	Scenarios map[string]Given  // of the steps, by step id
}

// Given is a scenario as its file has it.
type Given struct {
	Scenario *spec.Scenario
	Inputs   map[string]string // file name to SHA-256
}

// format of plan files.
const format = 1

// Compile resolves a day against the system that is run, and refuses what
// exceeds the system's limits. With problems, the rest is not fit to be run.
func Compile(day *spec.GameDay, sys *spec.System, o Options) (*Compiled, spec.Problems) {
	c := compiler{day: day, sys: sys, o: o}
	c.out = &Compiled{Day: day, System: sys, Subs: map[string]*Sub{}, Plan: &Plan{
		Format: format, Day: day.Metadata.Name, Title: day.Metadata.Title, File: day.File,
		Made: o.Made.UTC().Truncate(time.Second), Deadline: day.Spec.Deadline.String(), Freeze: day.Spec.Freeze, Objectives: day.Spec.Objectives,
		System: sys.Metadata.Name, SystemFile: sys.File, Target: sys.Spec.Target, Switches: sys.Switches, Seed: o.Seed, Inputs: o.Inputs,
	}}
	p := c.out.Plan
	p.Expires = p.Made.Add(time.Duration(day.Spec.Expires))
	if day.Spec.Window != nil {
		p.Window = day.Spec.Window.String()
	}
	if l := day.Spec.Load; l != nil {
		p.Load = fmt.Sprintf("%s at %s", l.Script, l.Arrival)
		c.arrival(l.Arrival, day.Src.At("spec", "load", "arrival"), "load")
	}
	c.live()
	c.checks()
	for _, s := range day.Spec.Steps {
		p.Steps = append(p.Steps, c.step(s))
	}
	c.approvals()
	c.problems.Sort()
	return c.out, c.problems.Unique()
}

type compiler struct {
	day      *spec.GameDay
	sys      *spec.System
	o        Options
	out      *Compiled
	problems spec.Problems
	risk     int
}

func (c *compiler) problem(pos spec.Pos, format string, args ...any) {
	c.problems = append(c.problems, spec.Problem{Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

// live resolves all faults of the day's own steps at once.
func (c *compiler) live() {
	sc := c.day.Watched(false)
	var at spec.Duration
	for _, s := range c.day.Spec.Steps {
		for _, f := range s.Levels() {
			f.At = at // one after the other: no two of them claim one thing at once
			at += f.For
			sc.Spec.Faults = append(sc.Spec.Faults, f)
		}
	}
	sc.Spec.Phases.Fault = max(sc.Spec.Phases.Fault, at)
	var ps spec.Problems
	c.out.Live, ps = plan.Compile(sc, c.sys, plan.Options{Seed: c.o.Seed, Registry: c.o.Registry, Inputs: c.o.Inputs, Here: c.o.Here})
	c.problems = append(c.problems, ps...)
}

// checks are what is watched all day.
func (c *compiler) checks() {
	c.problems = append(c.problems, verdict.Check(c.day.Watched(false), c.sys)...)
	c.problems = append(c.problems, verdict.Check(c.day.Watched(true), c.sys)...)
	for _, k := range c.day.Spec.Steady {
		c.out.Plan.Steady = append(c.out.Plan.Steady, condition(k))
	}
	for _, g := range c.day.Spec.Guardrails {
		c.out.Plan.Guardrails = append(c.out.Plan.Guardrails, condition(g.Check)+" for "+g.For.String())
	}
}

// condition is a check in words: "too-bad: below 20%".
func condition(c spec.Check) string {
	text := c.ID + ":"
	for _, b := range []struct {
		word string
		q    *spec.Quantity
	}{{"at least", c.AtLeast}, {"at most", c.AtMost}, {"above", c.Above}, {"below", c.Below}} {
		if b.q != nil {
			text += " " + b.word + " " + b.q.String()
		}
	}
	return text
}

func (c *compiler) step(s spec.DayStep) Step {
	out := Step{ID: s.ID, Does: s.Does(), Says: s.Title, Playbook: s.Playbook}
	if d := s.Length(); d > 0 {
		out.Longest = spec.Duration(d).String()
	}
	if s.Until == "person" {
		out.Until = s.Until
	}
	switch out.Does {
	case spec.DoesWait:
		out.Says = s.Wait
	case spec.DoesScenario:
		c.scenario(s, &out)
	default:
		for _, f := range s.Levels() {
			i := slices.IndexFunc(c.out.Live.Faults, func(p plan.Fault) bool { return p.ID == f.ID })
			if i >= 0 {
				out.Faults = append(out.Faults, c.fault(c.out.Live.Faults[i], time.Duration(f.For), f.Pos))
			}
		}
	}
	return out
}

// scenario resolves a scenario on the day's system, under its guardrails.
func (c *compiler) scenario(s spec.DayStep, out *Step) {
	given, ok := c.o.Scenarios[s.ID]
	if !ok {
		return // why, its reader has said
	}
	sc := *given.Scenario
	for _, choice := range sc.Spec.Switches {
		if !slices.Contains(c.sys.Switches, choice.Name) {
			c.problem(s.Src.At("scenario"), "step %s: scenario %s needs switch %s, which the day does not turn on", s.ID, sc.Metadata.Name, choice.Name)
		}
	}
	sc.Spec.Guardrails = slices.Concat(sc.Spec.Guardrails, c.day.Spec.Guardrails)
	p, ps := plan.Compile(&sc, c.sys, plan.Options{Seed: plan.SeedFor(c.o.Seed, "step "+s.ID) >> 32, Registry: c.o.Registry, Inputs: given.Inputs, Here: c.o.Here})
	c.problems = append(append(c.problems, ps...), verdict.Check(&sc, c.sys)...)
	c.arrival(sc.Spec.Load.Arrival, s.Src.At("scenario"), "step "+s.ID)
	c.out.Subs[s.ID] = &Sub{&sc, p}
	for _, f := range p.Faults {
		out.Faults = append(out.Faults, c.fault(f, f.Until-f.At, s.Src.At("scenario")))
	}
	if len(p.Actions) > 0 {
		c.risk = max(c.risk, medium) // what an operator does is not undone
	}
	out.Scenario, out.Longest = p.Hash(), spec.Duration(p.Load.Longest).String()
	if out.Says == "" {
		out.Says = sc.Metadata.Title
	}
}

// Encode is the plan as it is written, approved and hashed.
func (p *Plan) Encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "orders -> payments" is to be read
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		panic(fmt.Sprintf("gameday: encode: %v", err)) // plain data always encodes
	}
	return b.Bytes()
}

// Hash is the SHA-256 of the plan's bytes, as sha256sum prints it for its file.
func (p *Plan) Hash() string {
	sum := sha256.Sum256(p.Encode())
	return hex.EncodeToString(sum[:])
}

// Decode reads a plan file. One that is not byte for byte what Encode writes was
// edited, and is refused: what people read and what is run must be the same.
func Decode(data []byte) (*Plan, error) {
	var p Plan
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("not a plan of a game day: %w", err)
	}
	if p.Format != format {
		return nil, fmt.Errorf("plan of format %d, this program reads format %d", p.Format, format)
	}
	if !bytes.Equal(p.Encode(), data) {
		return nil, errors.New("the plan was edited: it is not written as squall gameday plan writes it")
	}
	return &p, nil
}

// Drift says how another plan differs, one line a difference.
func (p *Plan) Drift(now *Plan) (lines []string) {
	a, b := fields(p), fields(now)
	for _, k := range sortedKeys(a, b) {
		if string(a[k]) != string(b[k]) {
			lines = append(lines, fmt.Sprintf("%s: was %s, is %s", k, clip(a[k]), clip(b[k])))
		}
	}
	return lines
}
