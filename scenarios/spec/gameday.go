package spec

import "time"

// GameDay is an exercise of people on a system: what is broken, in which order,
// what stops it, and what the people are to find out.
type GameDay struct {
	APIVersion string      `yaml:"apiVersion" spec:"required,const=squall/v1" doc:"Format of this file."`
	Kind       string      `yaml:"kind" spec:"required,const=GameDay" doc:"What this file holds."`
	Metadata   Metadata    `yaml:"metadata" spec:"required" doc:"Name and labels."`
	Spec       GameDaySpec `yaml:"spec" spec:"required" doc:"The exercise."`

	File string `yaml:"-"` // path as the user named it
	Src  Node   `yaml:"-" json:"-"`
}

// GameDaySpec is the exercise proper.
type GameDaySpec struct {
	Objectives []string          `yaml:"objectives" spec:"required,min=1,pattern=text" doc:"What the team wants to know at the end of the day."`
	System     string            `yaml:"system" spec:"required,pattern=text" doc:"System file, relative to this file."`
	Switches   []Choice          `yaml:"switches" spec:"pattern=name" doc:"Variants of the system that are on: squall list switches."`
	Load       *LoadSpec         `yaml:"load" doc:"Traffic all day, but while a scenario runs, which brings its own; absent: what the system has by itself."`
	Roles      map[string]string `yaml:"roles" spec:"pattern=name" doc:"Who does what, such as {lead: Ana, responder: Ben, notes: Cleo}."`
	Contacts   []Contact         `yaml:"contacts" doc:"Whom to call, in this order."`
	Window     *TimeWindow       `yaml:"window" doc:"When it may run; what still stands when it ends is healed, and the day is over. Absent: at any time."`
	Freeze     string            `yaml:"freeze" spec:"pattern=text" doc:"A file, relative to this one: while it exists nothing is run, such as during a change freeze."`
	Expires    Duration          `yaml:"expires" spec:"min=1s,default=24h" doc:"How long a plan may be run after it was made; approvals end with it."`
	Deadline   Duration          `yaml:"deadline" spec:"min=1s,default=2h" doc:"Longest the day may last: then everything is healed."`
	Steady     []Check           `yaml:"steady" spec:"required,min=1" doc:"What must hold before anything is injected."`
	Settle     Duration          `yaml:"settle" spec:"min=1s,default=6s" doc:"How long the steady state is measured for."`
	Guardrails []Guardrail       `yaml:"guardrails" spec:"required,min=1" doc:"Limits that abort the day and heal the system."`
	Playbooks  []Playbook        `yaml:"playbooks" doc:"What people are to do about an incident, and the signals they see it by."`
	Steps      []DayStep         `yaml:"steps" spec:"required,min=1" doc:"What happens, one after the other."`
}

// Contact is somebody to call.
type Contact struct {
	Name  string `yaml:"name" spec:"required,pattern=text" doc:"Person or team."`
	Reach string `yaml:"reach" spec:"required,pattern=text" doc:"How: a channel, a number."`
	For   string `yaml:"for" doc:"About what."`
}

// TimeWindow is a span of time: of certain days of the week, or between two instants.
type TimeWindow struct {
	Days []string `yaml:"days" spec:"pattern=^(mon|tue|wed|thu|fri|sat|sun)$" doc:"Days of the week, mon to sun; absent: every day."`
	From string   `yaml:"from" spec:"required,pattern=text" doc:"Time of day (09:30), or an instant (2026-11-24T09:30:00Z)."`
	To   string   `yaml:"to" spec:"required,pattern=text" doc:"Likewise; not part of the window."`
	Zone string   `yaml:"zone" spec:"default=UTC" doc:"Time zone of days and times of day, such as Europe/Berlin."`
}

// Playbook says what people do about one kind of incident.
type Playbook struct {
	ID       string      `yaml:"id" spec:"required,pattern=name" doc:"Name by which steps refer to it."`
	Title    string      `yaml:"title" spec:"required,pattern=text" doc:"The incident, in a few words."`
	Signals  []Guardrail `yaml:"signals" spec:"required,min=1" doc:"What is seen while it lasts: each is a bound that the system crosses for as long as it says. A signal that does not match is a surprise."`
	Steps    []string    `yaml:"steps" spec:"required,min=1,pattern=text" doc:"What to do, in order. People tick them off: squall gameday did."`
	Escalate string      `yaml:"escalate" doc:"When to call for help, and whom."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// DayStep is one step of the day: exactly one of scenario, fault, ramp, wait and hold.
type DayStep struct {
	ID       string    `yaml:"id" spec:"required,pattern=name" doc:"Name of this step in plan and report."`
	Title    string    `yaml:"title" doc:"One line for people."`
	Scenario string    `yaml:"scenario" spec:"pattern=text" doc:"A scenario file, relative to this file, run under the day's guardrails on the day's system."`
	Fault    *DayFault `yaml:"fault" doc:"One fault, reverted at the end of the step."`
	Ramp     *Ramp     `yaml:"ramp" doc:"One fault with growing parameters, reverted at the end of the step."`
	Wait     string    `yaml:"wait" spec:"pattern=text" doc:"Waits until a person says go on; the text says for what."`
	Hold     Duration  `yaml:"hold" spec:"min=1ms" doc:"Lets time pass and watches."`
	For      Duration  `yaml:"for" spec:"min=1ms" doc:"How long a fault stands; with until: person, how long at most. Of a wait: how long it waits at most, then the day ends; absent: until the deadline."`
	Until    string    `yaml:"until" spec:"default=time,enum=time|person" doc:"What ends a fault: its time, or a person who says it is mitigated."`
	Playbook string    `yaml:"playbook" spec:"pattern=name" doc:"The playbook that people follow in this step, whose signals must be seen."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// DayFault is a fault of a game day.
type DayFault struct {
	Kind   string `yaml:"kind" spec:"required" doc:"Fault kind: squall list faults."`
	On     string `yaml:"on" spec:"required" doc:"Target, as in a scenario."`
	Params Node   `yaml:"params" doc:"Parameters of the kind: squall explain KIND."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// Ramp is a fault whose parameters grow.
type Ramp struct {
	Kind   string   `yaml:"kind" spec:"required" doc:"Fault kind: squall list faults."`
	On     string   `yaml:"on" spec:"required" doc:"Target, as in a scenario."`
	Each   Duration `yaml:"each" spec:"required,min=1ms" doc:"How long each level stands."`
	Levels []Node   `yaml:"levels" spec:"required,min=2" doc:"Parameters of the kind at each level."`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// What a step of a day does.
const (
	DoesScenario = "scenario"
	DoesFault    = "fault"
	DoesRamp     = "ramp"
	DoesWait     = "wait"
	DoesHold     = "hold"
)

// Does says which of its kinds a step is; "" where it is none or several.
func (s DayStep) Does() string {
	kinds := s.given()
	if len(kinds) != 1 {
		return ""
	}
	return kinds[0]
}

func (s DayStep) given() (kinds []string) {
	for _, k := range []struct {
		name  string
		given bool
	}{
		{DoesScenario, s.Scenario != ""}, {DoesFault, s.Fault != nil}, {DoesRamp, s.Ramp != nil}, {DoesWait, s.Wait != ""}, {DoesHold, s.Hold > 0},
	} {
		if k.given {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

// Levels are the faults of a step, one after the other, as a scenario would have them.
func (s DayStep) Levels() []Fault {
	switch {
	case s.Fault != nil:
		f := s.Fault
		return []Fault{{ID: s.ID, Kind: f.Kind, On: f.On, During: "fault", For: s.For, Params: f.Params, Pos: f.Pos, Src: f.Src}}
	case s.Ramp != nil:
		var all []Fault
		for i, level := range s.Ramp.Levels {
			all = append(all, Fault{ID: s.ID + "-" + itoa(i+1), Kind: s.Ramp.Kind, On: s.Ramp.On, During: "fault", For: s.Ramp.Each, Params: level, Pos: s.Ramp.Pos, Src: s.Ramp.Src})
		}
		return all
	}
	return nil
}

// Length is how long the step lasts at most; 0: not known before.
func (s DayStep) Length() time.Duration {
	switch s.Does() {
	case DoesHold:
		return time.Duration(s.Hold)
	case DoesRamp:
		return time.Duration(s.Ramp.Each) * time.Duration(len(s.Ramp.Levels))
	}
	return time.Duration(s.For)
}

// Playbook returns the playbook of that name.
func (g *GameDay) Playbook(id string) (Playbook, bool) {
	for _, p := range g.Spec.Playbooks {
		if p.ID == id {
			return p, true
		}
	}
	return Playbook{}, false
}

// Watched is the day as a scenario that has only what is watched all along:
// steady state and guardrails; with signals, those of the playbooks instead.
func (g *GameDay) Watched(signals bool) *Scenario {
	sc := &Scenario{APIVersion: APIVersion, Kind: "Scenario", Metadata: g.Metadata, File: g.File}
	sc.Spec.System, sc.Spec.Switches = g.Spec.System, g.Spec.Switches
	sc.Spec.Phases = Phases{Warmup: Duration(time.Second), Baseline: g.Spec.Settle, Fault: g.Spec.Deadline}
	if g.Spec.Load != nil {
		sc.Spec.Load = *g.Spec.Load
	}
	if !signals {
		sc.Spec.Steady, sc.Spec.Guardrails = g.Spec.Steady, g.Spec.Guardrails
		return sc
	}
	for _, p := range g.Spec.Playbooks {
		sc.Spec.Guardrails = append(sc.Spec.Guardrails, p.Signals...)
	}
	return sc
}
