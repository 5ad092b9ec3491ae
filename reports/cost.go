package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"squall/runner/verdict"
)

// budgetMonth is the window that error budgets are taken over.
const budgetMonth = 28 * 24 * time.Hour

// assumedTarget is taken where nothing of the scenario has a target.
const assumedTarget = 0.999

// costRow is what a fault like this would have cost in production.
type costRow struct {
	SLO     string
	Target  float64
	Bad     float64       // share of events while the faults stood
	Burn    float64       // times the rate that spends the budget in a month
	Length  time.Duration // of the fault
	Spent   float64       // share of the month's budget
	Paged   time.Duration // how long it would have to last to page somebody; 0: never
	Rule    string
	Assumed bool // the target
}

// burnRules are the alerts of the SRE Workbook (chapter 5) whose long window
// decides: the short one only ends them sooner.
var burnRules = []struct {
	burn float64
	long time.Duration
	page bool
	name string
}{
	{14.4, time.Hour, true, "14.4 times over 1 h"},
	{6, 6 * time.Hour, true, "6 times over 6 h"},
	{3, 24 * time.Hour, false, "3 times over 1 d"},
	{1, 72 * time.Hour, false, "once over 3 d"},
}

// costs holds what the client saw against every objective of the scenario, as
// if it had happened in production in real time.
func costs(in Input) (out []costRow) {
	var fault *phaseStats
	for i, p := range in.digest().Phases {
		if p.Name == "fault" {
			fault = &in.digest().Phases[i]
		}
	}
	if fault == nil || fault.all() == 0 || fault.Length <= 0 {
		return nil
	}
	slos := map[string]verdict.Finding{}
	for _, f := range in.Result.Findings {
		if f.Kind == "slo" && f.Group == "expect" && f.During == "fault" && f.Tally != nil && f.Tally.Total > 0 {
			if name := sloName(in, f.ID); name != "" {
				slos[name] = f
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(slos)) {
		f := slos[name]
		out = append(out, cost(name, in.System.SLOs[name].Target, 1-f.Tally.Good/f.Tally.Total, f.Window.To-f.Window.From))
	}
	if len(out) == 0 {
		row := cost("all operations of the load", assumedTarget, 1-fault.success(), fault.Length)
		row.Assumed = true
		out = append(out, row)
	}
	return out
}

func cost(name string, target, bad float64, length time.Duration) costRow {
	c := costRow{SLO: name, Target: target, Bad: math.Max(0, bad), Length: length}
	if target < 1 {
		c.Burn = c.Bad / (1 - target)
	}
	c.Spent = c.Burn * length.Seconds() / budgetMonth.Seconds()
	for _, r := range burnRules {
		if !r.page || c.Burn < r.burn {
			continue
		}
		if after := time.Duration(float64(r.long) * r.burn / c.Burn); c.Paged == 0 || after < c.Paged {
			c.Paged, c.Rule = after, r.name
		}
	}
	return c
}

// When somebody would have been paged, as a sentence.
func (c costRow) When() string {
	switch {
	case c.Bad == 0:
		return "nobody, as no budget was spent"
	case c.Paged == 0 && c.Burn >= 1:
		return "nobody at night, but a ticket in the morning, if it lasted for days"
	case c.Paged == 0:
		return "nobody, as it burns slower than the budget allows"
	case c.Paged <= c.Length:
		return fmt.Sprintf("a page %s after it began (%s)", forPeople(c.Paged), c.Rule)
	default:
		return fmt.Sprintf("nobody for the %s it lasted; a page had it lasted %s (%s)", forPeople(c.Length), forPeople(c.Paged), c.Rule)
	}
}

// forPeople prints a length of time without false precision.
func forPeople(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
}
