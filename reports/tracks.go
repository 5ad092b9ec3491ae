package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
)

// track is one metric series as its changes in time.
type track struct {
	Name   string // labels that tell it from its siblings
	From   string // instance it was read from
	Points []point
}

type point struct {
	T time.Duration
	V float64
}

// tracks returns the series that match and move, by label text.
func tracks(run *record.Run, match func(name string) bool) []track {
	byID := map[uint32]*track{}
	for _, sc := range run.Scrapes {
		for _, n := range sc.New {
			if name := n.Labels["__name__"]; match(name) {
				byID[n.ID] = &track{Name: labelText(n.Labels), From: n.Labels["instance"]}
			}
		}
		for _, v := range sc.V {
			if t := byID[v.ID]; t != nil {
				t.Points = append(t.Points, point{run.T(sc.At), float64(v.V)})
			}
		}
	}
	var out []track
	for _, t := range byID {
		if t.moves() {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b track) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.From, b.From)) })
	return out
}

// moves reports whether there is anything to see.
func (t track) moves() bool {
	return slices.ContainsFunc(t.Points, func(p point) bool { return p.V != t.Points[0].V })
}

// isBreaker and isQueue choose the metrics that have lanes.
func isBreaker(name string) bool { return name == "breaker_state" }

func isQueue(name string) bool {
	return strings.HasSuffix(name, "_pending") || strings.HasPrefix(name, "dlq_")
}

// changeRow is one change of a breaker or a queue.
type changeRow struct {
	T            time.Duration
	What, Became string
}

// changes are the lanes of breakers and queues as text, in order of time.
func changes(run *record.Run) (out []changeRow) {
	for _, t := range tracks(run, isBreaker) {
		for _, p := range t.Points {
			if s, ok := breakerStates[p.V]; ok {
				out = append(out, changeRow{p.T, "breaker " + t.Name, s.Name})
			}
		}
	}
	for _, t := range tracks(run, isQueue) {
		for _, p := range t.Points {
			out = append(out, changeRow{p.T, t.Name + " (" + t.From + ")", fmt.Sprintf("%g", p.V)})
		}
	}
	slices.SortStableFunc(out, func(a, b changeRow) int { return cmp.Compare(a.T, b.T) })
	return out
}

// dropped is what the generator could not start, by second.
func dropped(run *record.Run, seconds int) []float64 {
	out := make([]float64, seconds)
	for _, t := range tracks(run, func(name string) bool { return name == "k6_dropped_iterations_total" }) {
		last := t.Points[0].V
		for _, p := range t.Points[1:] {
			if i := int(p.T / time.Second); i >= 0 && i < seconds && p.V > last {
				out[i] += p.V - last
			}
			last = p.V
		}
	}
	return out
}

func labelText(l map[string]string) string {
	if e := l["edge"]; e != "" {
		return edgeText(e, l)
	}
	parts := []string{l["__name__"]}
	for _, k := range slices.Sorted(maps.Keys(l)) {
		if k != "__name__" && k != "job" && k != "instance" {
			parts = append(parts, l[k])
		}
	}
	return strings.Join(parts, " ")
}

// edgeText names the caller by its instance: each has a breaker of its own.
func edgeText(edge string, l map[string]string) string {
	caller, callee, _ := strings.Cut(edge, " -> ")
	if caller == l["job"] && l["instance"] != "" {
		return l["instance"] + " -> " + callee
	}
	return edge
}

// standing is the span in which a fault was in force.
type standing struct {
	record.Fault
	From, To                    time.Duration
	Injected, Bit, Undone, Gone string
}

// standings follows every fault through its life.
func standings(run *record.Run) []standing {
	index := map[string]int{}
	var out []standing
	for _, f := range run.Faults {
		i, ok := index[f.ID]
		if !ok {
			i = len(out)
			index[f.ID] = i
			out = append(out, standing{From: f.T, To: run.Last})
		}
		s := &out[i]
		if f.Receipt == nil {
			f.Receipt = s.Receipt
		}
		if f.Error == "" {
			f.Error = s.Error // an undone fault may have failed before
		}
		s.Fault = f.Fault
		switch f.State {
		case record.FaultInjected:
			s.From, s.Injected = f.T, seconds(f.T)
		case record.FaultBiting:
			s.Bit = seconds(f.T)
		case record.FaultReverted:
			s.To, s.Undone = f.T, seconds(f.T)
		case record.FaultGone:
			s.Gone = seconds(f.T)
		}
	}
	return out
}

// Hit is the receipt in words.
func (s standing) Hit() string {
	if s.Receipt == nil {
		return "nothing"
	}
	return hits(*s.Receipt)
}

// hits is the count of a receipt with its unit.
func hits(r record.Receipt) string {
	unit := r.Unit
	switch {
	case r.Hits == 1 && unit == "processes":
		unit = "process"
	case r.Hits == 1:
		unit = strings.TrimSuffix(unit, "s")
	}
	return fmt.Sprintf("%d %s", r.Hits, unit)
}

// Group lists the targets, where they are not what the scenario says.
func (s standing) Group() string { return strings.Join(s.Targets, ", ") }

// What is the fault in one line.
func (s standing) What() string {
	return strings.Join(strings.Fields(s.Kind+" "+s.Detail+" on "+s.On), " ")
}
