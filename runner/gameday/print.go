package gameday

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the plan for people who are to approve it: what is broken, how
// much of the traffic that is, how far it may reach, and how it is undone.
func (p *Plan) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, format string, args ...any) { fmt.Fprintf(t, key+"\t"+format+"\n", args...) }
	row("game day", "%s: %s", p.Day, p.Title)
	for _, o := range p.Objectives {
		row("objective", "%s", o)
	}
	row("system", "%s (%s, target %s)", p.System, p.SystemFile, p.Target)
	if len(p.Switches) > 0 {
		row("switches", "%s", strings.Join(p.Switches, ", "))
	}
	if p.Load != "" {
		row("load", "%s", p.Load)
	}
	if p.Window != "" {
		row("window", "%s", p.Window)
	}
	orBefore := ""
	if p.Window != "" {
		orBefore = ", and with its window"
	}
	row("ends", "after %s at the latest%s: then everything is healed", p.Deadline, orBefore)
	for _, g := range p.Guardrails {
		row("guardrail", "%s: heals and ends the day", g)
	}
	row("", "")
	for i, s := range p.Steps {
		p.printStep(row, i+1, s)
	}
	row("", "")
	row("risk", "%s", p.Risk)
	if p.Approvals == 0 {
		row("approval", "none is needed: %s", map[bool]string{true: "the system file names no approvers", false: "its limits say so"}[len(p.Approvers) == 0])
	} else {
		row("approval", "%d of %s: squall gameday approve", p.Approvals, strings.Join(p.Approvers, ", "))
	}
	row("expires", "%s", p.Expires.Format(time.RFC3339))
	row("plan hash", "%s", p.Hash())
	return t.Flush()
}

func (p *Plan) printStep(row func(string, string, ...any), n int, s Step) {
	length := ""
	if s.Longest != "" {
		length = ", " + s.Longest
		if s.Until != "" || s.Does == "wait" {
			length = ", at most " + s.Longest
		}
	}
	row(fmt.Sprintf("%d %s", n, s.ID), "%s%s: %s", s.Does, length, s.Says)
	for _, f := range s.Faults {
		on := f.On
		if len(f.Targets) != 1 || f.Targets[0] != f.On {
			on += " (" + strings.Join(f.Targets, ", ") + ")"
		}
		row("  "+f.ID, "%s %s on %s for %s", f.Kind, f.Says, on, f.Stands)
		for _, h := range f.Hits {
			row("    hits", "%s", h)
		}
		row("    worst case", "reaches %s", strings.Join(f.Reaches, ", "))
		for _, u := range f.Undo {
			row("    undo", "%s", u)
		}
	}
	if s.Playbook != "" {
		row("  playbook", "%s", s.Playbook)
	}
}
