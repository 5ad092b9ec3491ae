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
	row("load", fmt.Sprintf("%s, %g iterations/s for at most %s", p.Load.Script, p.Load.PerSecond, p.Load.Longest))
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
		if ph.Name == FaultOn {
			p.printFaults(row, ph.Start)
		}
	}
	row(at(p.Load.Longest), "load ends, books are read, everything is undone and compared with before")
	row()
	row("decides", strings.Join(p.Expect, ", "))
	if len(p.Guardrails) > 0 {
		row("aborts", strings.Join(p.Guardrails, ", "))
	}
	return t.Flush()
}

func (p *Plan) printFaults(row func(...string), start time.Duration) {
	for _, s := range p.Steps() {
		if s.Revert {
			row(at(start+s.At), fmt.Sprintf("  revert %s", s.Fault.ID))
			continue
		}
		row(at(start+s.At), fmt.Sprintf("  inject %s: %s %s on %s", s.Fault.ID, s.Fault.Kind, s.Fault.Says, s.Fault.On)+s.Fault.group())
	}
}

// group lists the targets, where they are not what the scenario says.
func (f Fault) group() string {
	if len(f.Targets) == 1 && f.Targets[0].Name == f.On {
		return ""
	}
	names := make([]string, len(f.Targets))
	for i, t := range f.Targets {
		names[i] = t.Name
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func at(d time.Duration) string { return fmt.Sprintf("%6.1fs", d.Seconds()) }
