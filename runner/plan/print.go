package plan

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the timeline for people: what happens when, to what, and what decides.
func (p *Plan) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
	row("scenario", p.Scenario+": "+p.Title)
	row("hypothesis", p.Hypothesis)
	row("system", fmt.Sprintf("%s (target %s)", p.System, p.Target))
	row("load", p.Load.says())
	row("seed", fmt.Sprint(p.Seed))
	if len(p.Switches) > 0 {
		row("switches", strings.Join(p.Switches, ", "))
	}
	if len(p.Defects) > 0 {
		row("defects", strings.Join(p.Defects, ", "))
	}
	row("plan hash", p.Hash())
	row()
	row("at", "what")
	for _, ph := range p.Phases {
		note := ""
		if ph.Name == Recovery {
			note = " at most, ends early once its checks hold"
		}
		row(at(ph.Start), fmt.Sprintf("%s: %s%s", ph.Name, ph.Longest, note))
		if ph.Name == Baseline {
			row(at(ph.Start+ph.Longest), "steady state must hold: "+strings.Join(p.Steady, ", "))
		}
		p.printStages(row, ph)
		p.printSteps(row, ph)
	}
	row(at(p.Load.Longest), "load ends, books are read, everything is undone and compared with before")
	row()
	row("decides", strings.Join(p.Expect, ", "))
	if len(p.Guardrails) > 0 {
		row("aborts", strings.Join(p.Guardrails, ", "))
	}
	return t.Flush()
}

func (l Load) says() string {
	if l.Script == "" {
		return fmt.Sprintf("none: what the system has by itself, for at most %s", l.Longest)
	}
	return fmt.Sprintf("%s, %g iterations/s for at most %s", l.Script, l.PerSecond, l.Longest)
}

func (p *Plan) printStages(row func(...string), ph Phase) {
	for _, s := range p.Load.Stages {
		if s.At >= ph.Start && s.At < ph.Start+ph.Longest {
			row(at(s.At), fmt.Sprintf("  load %g iterations/s", s.PerSecond))
		}
	}
}

func (p *Plan) printSteps(row func(...string), ph Phase) {
	for _, s := range p.Steps(ph.Name) {
		if s.Action != nil {
			row(at(ph.Start+s.At), fmt.Sprintf("  step %s: %s", s.Action.ID, s.Action.Says))
		}
		for _, f := range s.Faults {
			if s.Revert {
				row(at(ph.Start+s.At), "  revert "+f.ID)
			} else {
				row(at(ph.Start+s.At), fmt.Sprintf("  inject %s: %s %s on %s", f.ID, f.Kind, f.Says, f.On)+f.group())
			}
		}
	}
}

// group lists the targets, where they are not what the scenario says; those of
// a composite fault after the kind that hits them.
func (f Fault) group() string {
	if len(f.Targets) == 1 && f.Targets[0].Name == f.On && f.Targets[0].Kind == f.Kind {
		return ""
	}
	var b strings.Builder
	for i, t := range f.Targets {
		switch {
		case i > 0 && t.Step == f.Targets[i-1].Step:
			b.WriteString(", ")
		case i > 0:
			b.WriteString("; ")
		}
		if t.Kind != f.Kind && (i == 0 || t.Step != f.Targets[i-1].Step) {
			b.WriteString(t.Kind + ": ")
		}
		b.WriteString(t.Name)
	}
	return " (" + b.String() + ")"
}

func at(d time.Duration) string { return fmt.Sprintf("%6.1fs", d.Seconds()) }
