package reports

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
)

// track is one metric series as its changes in time.
type track struct {
	Name   string  `json:"name"`   // labels that tell it from its siblings
	From   string  `json:"from"`   // instance it was read from
	Points []point `json:"points"` // the last of which holds on
	said   float64 // by its source
}

// point is a value from an instant on; NaN where the source did not say any.
type point struct {
	T time.Duration `json:"t"`
	V record.Float  `json:"v"`
}

// nan reports whether there was no value.
func (p point) nan() bool { return math.IsNaN(float64(p.V)) }

// mostPoints bounds a track, mostTracks their number.
const (
	mostPoints = 1500
	mostTracks = 24
)

// tracks returns the series that match and move, by label text. While a source
// does not answer its series have a gap; afterwards what it does not say anew
// is as it was.
func tracks(run *record.Run, match func(name string) bool) []track {
	byID, bySource := map[uint32]*track{}, map[string][]*track{}
	say := func(id uint32, v float64) {
		if t := byID[id]; t != nil {
			t.said = v
		}
	}
	for _, sc := range run.Scrapes {
		for _, n := range sc.New {
			if name := n.Labels["__name__"]; match(name) {
				byID[n.ID] = &track{Name: labelText(n.Labels), From: n.Labels["instance"]}
				bySource[sc.Source] = append(bySource[sc.Source], byID[n.ID])
			}
		}
		for _, id := range sc.Gone {
			say(id, math.NaN())
		}
		for _, v := range sc.V {
			say(v.ID, float64(v.V))
		}
		for _, t := range bySource[sc.Source] {
			t.look(run.T(sc.At), sc.Up)
		}
	}
	var out []track
	for _, t := range byID {
		if t.moves() {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b track) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.From, b.From)) })
	return out[:min(len(out), mostTracks)]
}

// look adds what a look at the source has changed.
func (t *track) look(at time.Duration, up bool) {
	v := t.said
	if !up {
		v = math.NaN()
	}
	n := len(t.Points)
	if n > 0 && (float64(t.Points[n-1].V) == v || math.IsNaN(v) && t.Points[n-1].nan()) {
		return
	}
	if n > mostPoints { // every other change: the line keeps its shape
		for i := range n / 2 {
			t.Points[i] = t.Points[2*i]
		}
		t.Points = t.Points[:n/2]
	}
	t.Points = append(t.Points, point{at, record.Float(v)})
}

// moves reports whether there is anything to see: a gap alone is not.
func (t track) moves() bool {
	return slices.ContainsFunc(t.Points, func(p point) bool { return !p.nan() && p.V != t.Points[0].V })
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

// mostChanges bounds the table of changes.
const mostChanges = 400

// changes are the lanes of breakers and queues as text, in order of time.
func changes(d *Digest) (out []changeRow) {
	add := func(t track, what string, became func(v float64) string) {
		for _, p := range t.Points {
			row := changeRow{p.T, what, "no data"}
			if !p.nan() {
				row.Became = became(float64(p.V))
			}
			out = append(out, row)
		}
	}
	for _, t := range d.Breaker {
		add(t, "breaker "+t.Name, breakerState)
	}
	for _, t := range d.Queues {
		add(t, t.Name+" ("+t.From+")", func(v float64) string { return fmt.Sprintf("%g", v) })
	}
	slices.SortStableFunc(out, func(a, b changeRow) int { return cmp.Compare(a.T, b.T) })
	return out[:min(len(out), mostChanges)]
}

// dropped is what the generator could not start, by bucket.
func dropped(run *record.Run, step time.Duration, n int) []float64 {
	out := make([]float64, n)
	for _, t := range tracks(run, func(name string) bool { return name == "k6_dropped_iterations_total" }) {
		last := t.Points[0].V
		for _, p := range t.Points[1:] {
			if p.nan() {
				continue
			}
			if i := int(p.T / step); i >= 0 && i < n && p.V > last {
				out[i] += float64(p.V - last)
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
	From, To, BitAt             time.Duration
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
		s.Detail, s.Error = shorten(f.Detail, mostText), shorten(f.Error, mostText)
		if f.Receipt != nil && len(f.Receipt.Note) > mostText {
			r := *f.Receipt
			r.Note = shorten(r.Note, mostText)
			s.Receipt = &r
		}
		switch f.State {
		case record.FaultInjected:
			s.From, s.Injected = f.T, seconds(f.T)
		case record.FaultBiting:
			if s.Bit == "" {
				s.BitAt, s.Bit = f.T, seconds(f.T)
			}
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
	return s.Receipt.String()
}

// Group lists the targets, where they are not what the scenario says.
func (s standing) Group() string { return strings.Join(s.Targets, ", ") }

// What is the fault in one line.
func (s standing) What() string {
	return strings.Join(strings.Fields(s.Kind+" "+s.Detail+" on "+s.On), " ")
}
