package reports

import (
	"fmt"
	"strings"

	"squall/runner/verdict"
)

// impact says what users would have noticed, for somebody who knows none of the
// mechanisms: were they served, did they wait, was anything of theirs lost or
// done twice, and would anybody have been woken. Empty without a fault phase.
func impact(p page) string {
	base, fault := p.phase("baseline"), p.phase("fault")
	if base == nil || fault == nil || fault.all() == 0 || base.all() == 0 {
		return ""
	}
	var parts []string
	if n := len(p.Contradicted); n > 0 {
		least := ""
		if p.MoreFlaws {
			least = "at least "
		}
		parts = append(parts, fmt.Sprintf("The books contradict %s%s (%s), which no success ratio shows.", least, count(float64(n), "operation"), flawCounts(p.Contradicted)))
	}
	parts = append(parts, served(base, fault)+waited(base, fault)+".")
	if c, ok := dearest(p.Costs); ok {
		spent := "no error budget spent"
		if c.Bad > 0 {
			spent = fmt.Sprintf("%s of a month's error budget spent; woken: %s", percent(c.Spent), c.When())
		}
		parts = append(parts, "In production: "+spent+".")
	}
	return strings.Join(parts, " ")
}

// slightly is a change of a share that nobody notices.
const slightly = 0.001

func served(base, fault *phaseStats) string {
	switch was, is := base.success(), fault.success(); {
	case is < was-slightly:
		return fmt.Sprintf("Of what they asked for %s was done under the fault, %s before it", percent(is), percent(was))
	case is == 1:
		return "All they asked for was done under the fault, as before it"
	default:
		return fmt.Sprintf("Of what they asked for %s was done under the fault, as before it", percent(is))
	}
}

// waited is said where people waited half as long again, or longer, for whatever
// they got: where few were served, those few say nothing of it.
func waited(base, fault *phaseStats) string {
	if !(fault.Waited >= 1.5*base.Waited) {
		return "; they did not wait longer"
	}
	return fmt.Sprintf("; 5 of 100 waited longer than %s (%s before)", latency(fault.Waited), latency(base.Waited))
}

func flawCounts(flaws []verdict.Flaw) string {
	counts, order := map[string]int{}, []string{}
	for _, f := range flaws {
		if counts[f.Flaw]++; counts[f.Flaw] == 1 {
			order = append(order, f.Flaw)
		}
	}
	parts := make([]string, len(order))
	for i, flaw := range order {
		parts[i] = fmt.Sprintf("%d %s", counts[flaw], flaw)
	}
	return strings.Join(parts, ", ")
}

// dearest is the objective that spent most of its budget.
func dearest(costs []costRow) (most costRow, ok bool) {
	for i, c := range costs {
		if i == 0 || c.Spent > most.Spent {
			most = c
		}
	}
	return most, len(costs) > 0
}

func (p page) phase(name string) *phaseStats {
	for i := range p.Phases {
		if p.Phases[i].Name == name {
			return &p.Phases[i]
		}
	}
	return nil
}
