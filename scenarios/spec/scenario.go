// Package spec reads what users write: scenario, system and SLO files. It
// decodes strictly, fills defaults and reports every mistake at once as
// file:line:col. What comes out is plain data; it imports nothing of ours.
package spec

import "time"

// APIVersion of scenario and system files.
const APIVersion = "squall/v1"

// Scenario is one experiment.
type Scenario struct {
	APIVersion string       `yaml:"apiVersion" spec:"required,const=squall/v1" doc:"Format of this file."`
	Kind       string       `yaml:"kind" spec:"required,const=Scenario" doc:"What this file holds."`
	Metadata   Metadata     `yaml:"metadata" spec:"required" doc:"Name and labels."`
	Spec       ScenarioSpec `yaml:"spec" spec:"required" doc:"The experiment."`

	File string `yaml:"-"` // path as the user named it
	Src  Node   `yaml:"-" json:"-"`
}

// Metadata names a scenario or system.
type Metadata struct {
	Name  string   `yaml:"name" spec:"required,pattern=name" doc:"Unique name: lower-case letters, digits and dashes."`
	Title string   `yaml:"title" doc:"One line for people."`
	Owner string   `yaml:"owner" doc:"Team that answers for it."`
	Tags  []string `yaml:"tags" spec:"pattern=name" doc:"Words to select scenarios by (--tag)."`
}

// ScenarioSpec is the experiment proper.
type ScenarioSpec struct {
	Hypothesis string      `yaml:"hypothesis" spec:"required,pattern=text" doc:"What you believe the system does under this fault, in plain words."`
	System     string      `yaml:"system" spec:"required,pattern=text" doc:"System file, relative to this file."`
	Switches   []Choice    `yaml:"switches" spec:"pattern=name" doc:"Variants of the system that are on: squall list switches."`
	Load       LoadSpec    `yaml:"load" doc:"Traffic while the experiment runs; absent, for targets remote and containers: what the system has by itself."`
	Phases     Phases      `yaml:"phases" doc:"How long each phase lasts."`
	Faults     []Fault     `yaml:"faults" doc:"What is broken, where and when. A scenario has faults or steps, or both."`
	Steps      []Step      `yaml:"steps" doc:"What is done to the system beside that, such as a release: what an operator would do."`
	Steady     []Check     `yaml:"steady" spec:"required,min=1" doc:"Steady state: must hold in the baseline or nothing is injected."`
	Expect     []Check     `yaml:"expect" spec:"required,min=1" doc:"Assertions that decide the verdict."`
	Guardrails []Guardrail `yaml:"guardrails" doc:"Limits that abort the run and heal the system."`
	Proves     []Prove     `yaml:"proves" doc:"Defects of the sample system that must turn this scenario red."`
}

// Choice is a switch of the system that a scenario or a command turns on. In
// YAML it is the switch's name.
type Choice struct {
	Name string

	Pos Pos `yaml:"-"`
}

// LoadSpec drives the system with k6 in an open model.
type LoadSpec struct {
	Script  string            `yaml:"script" spec:"required,pattern=text" doc:"k6 script, relative to this file."`
	Arrival Rate              `yaml:"arrival" spec:"required" doc:"Iterations started per second or minute, whether or not earlier ones have ended."`
	Stages  []Stage           `yaml:"stages" doc:"Changes of the arrival rate during the fault phase, in order; after it arrival holds again."`
	Env     map[string]string `yaml:"env" spec:"pattern=env" doc:"Variables the script finds in __ENV."`
}

// Given reports whether there is load; without, the system has traffic of its own.
func (l LoadSpec) Given() bool { return l.Script != "" }

// Stage is a change of the load's arrival rate. It stands until the next one,
// the last one until the end of the fault phase.
type Stage struct {
	At      Duration `yaml:"at" doc:"Delay after the fault phase's start."`
	Arrival Rate     `yaml:"arrival" spec:"required" doc:"Iterations started per second or minute from then on."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// Phases of a run, in order. Recovery ends early once its checks hold.
type Phases struct {
	Warmup   Duration `yaml:"warmup" spec:"default=2s" doc:"Load runs, nothing is judged."`
	Baseline Duration `yaml:"baseline" spec:"min=1ms,default=6s" doc:"Steady state is measured."`
	Fault    Duration `yaml:"fault" spec:"min=1ms,default=10s" doc:"Faults are in force."`
	Recovery Duration `yaml:"recovery" spec:"min=1ms,default=15s" doc:"Longest wait for recovery after the faults are gone."`
}

// Fault is one fault of a scenario.
type Fault struct {
	ID     string   `yaml:"id" spec:"required,pattern=name" doc:"Name of this fault in the report."`
	Kind   string   `yaml:"kind" spec:"required" doc:"Fault kind: squall list faults."`
	On     string   `yaml:"on" spec:"required" doc:"Target: an edge (orders -> payments), a service (orders), each with all its instances or with one (orders -> payments-2), a zone, or all calls between two sides: of several (orders, payments -> nats), either way (orders | nats, catalog), of everybody else (* -> orders)."`
	During string   `yaml:"during" spec:"default=fault,enum=fault" doc:"Phase in which it is injected."`
	At     Duration `yaml:"at" doc:"Delay after the phase's start."`
	For    Duration `yaml:"for" doc:"How long it stands; to the end of the phase if absent."`
	Params Node     `yaml:"params" doc:"Parameters of the kind: squall explain KIND."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"` // the whole entry: Src.At("kind") is where a key's value stands
}

// Check is one assertion. Exactly one key of the mapping is its kind; its
// value is kept undecoded in Params.
type Check struct {
	ID         string    `yaml:"id" spec:"required,pattern=name" doc:"Name of this assertion in the report."`
	During     string    `yaml:"during" spec:"enum=warmup|baseline|fault|recovery|run" doc:"Phase whose window is judged; baseline for steady state, else fault."`
	AtLeast    *Quantity `yaml:"atLeast" doc:"Passes if measured >= this."`
	AtMost     *Quantity `yaml:"atMost" doc:"Passes if measured <= this."`
	Above      *Quantity `yaml:"above" doc:"Passes if measured > this."`
	Below      *Quantity `yaml:"below" doc:"Passes if measured < this."`
	MinSamples int       `yaml:"minSamples" spec:"min=0" doc:"Fewer samples make the assertion inconclusive; 0 means the kind's own minimum."`

	Kind   string `yaml:"-"` // the one key that is not a field
	Params Node   `yaml:"-"` // its value
	Pos    Pos    `yaml:"-"`
	Src    Node   `yaml:"-" json:"-"` // the whole entry: Src.At("during") is where a key's value stands
}

// Guardrail aborts a run while it is broken for longer than For.
type Guardrail struct {
	Check `yaml:",inline"`
	For   Duration `yaml:"for" spec:"default=3s" doc:"How long it must be broken without a break."`
}

// Prove claims a defect: the scenario must turn red under it, by assertion By
// where given, else by any. In YAML a plain string or {defect, by}.
type Prove struct {
	Defect string `yaml:"defect" spec:"required,pattern=text" doc:"Name of the defect."`
	By     string `yaml:"by" doc:"Assertion that must be the one to break."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// Duration is a length of time with its unit: 250ms, 10s, 2m.
type Duration time.Duration

// Rate is a number of events per time: 40/s, 600/m.
type Rate struct {
	PerSecond float64
	Text      string // as written
}

// Quantity is a bound: a ratio (99%, 0.99), a duration (800ms, held in
// seconds) or a plain number.
type Quantity struct {
	Value float64
	Text  string // as written
}

// Pos is a place in a file; Line and Col count from 1.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}
