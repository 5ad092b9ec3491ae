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

// second is what the client saw in one second of the run.
type second struct {
	T                   time.Duration
	OK, Failed, Unknown int
	P50, P95, P99       float64 // of ok operations, seconds; NaN without any
}

func (s second) all() int { return s.OK + s.Failed + s.Unknown }

// perSecond groups operations by the second in which they ended.
func perSecond(run *record.Run) []second {
	n := int(math.Ceil(duration(run).Seconds()))
	out := make([]second, max(n, 0))
	lat := make([][]float64, len(out))
	for i := range out {
		out[i].T = time.Duration(i) * time.Second
	}
	for _, op := range run.Operations {
		i := int(run.T(op.At+op.Dur) / time.Second)
		if i < 0 || i >= len(out) {
			continue
		}
		out[i].count(op.Outcome)
		if op.Outcome == record.OK {
			lat[i] = append(lat[i], time.Duration(op.Dur).Seconds())
		}
	}
	for i := range out {
		slices.Sort(lat[i])
		out[i].P50, out[i].P95, out[i].P99 = quantile(lat[i], 0.5), quantile(lat[i], 0.95), quantile(lat[i], 0.99)
	}
	return out
}

func (s *second) count(o record.Outcome) {
	switch o {
	case record.OK:
		s.OK++
	case record.Failed:
		s.Failed++
	default:
		s.Unknown++
	}
}

// quantile is the order statistic of a sorted sample (nearest rank).
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	return xs[max(0, int(math.Ceil(q*float64(len(xs))))-1)]
}

// phaseStats is one column of the comparison.
type phaseStats struct {
	Name                string
	Length              time.Duration
	OK, Failed, Unknown int
	P50, P95, P99       float64
}

func (p phaseStats) all() int { return p.OK + p.Failed + p.Unknown }

func (p phaseStats) rate() float64 {
	if p.Length <= 0 {
		return math.NaN()
	}
	return float64(p.all()) / p.Length.Seconds()
}

func (p phaseStats) success() float64 {
	if p.all() == 0 {
		return math.NaN()
	}
	return float64(p.OK) / float64(p.all())
}

// perPhase compares baseline, fault and recovery; an operation belongs to the
// phase in which it began.
func perPhase(run *record.Run) []phaseStats {
	var out []phaseStats
	for _, name := range []string{"baseline", "fault", "recovery"} {
		span, ok := run.Phase(name)
		if !ok {
			continue
		}
		p := phaseStats{Name: name, Length: span.To - span.From}
		var lat []float64
		var s second
		for _, op := range run.Operations {
			if t := run.T(op.At); t < span.From || t >= span.To {
				continue
			}
			s.count(op.Outcome)
			if op.Outcome == record.OK {
				lat = append(lat, time.Duration(op.Dur).Seconds())
			}
		}
		slices.Sort(lat)
		p.OK, p.Failed, p.Unknown = s.OK, s.Failed, s.Unknown
		p.P50, p.P95, p.P99 = quantile(lat, 0.5), quantile(lat, 0.95), quantile(lat, 0.99)
		out = append(out, p)
	}
	return out
}

// track is one metric series as its changes in time.
type track struct {
	Name   string // labels that tell it from its siblings
	Points []point
}

type point struct {
	T time.Duration
	V float64
}

// tracks returns the series of the metrics that match, by label text.
func tracks(run *record.Run, match func(name string) bool) []track {
	byID := map[uint32]*track{}
	for _, sc := range run.Scrapes {
		for _, n := range sc.New {
			if name := n.Labels["__name__"]; match(name) {
				byID[n.ID] = &track{Name: labelText(n.Labels)}
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
		if t.changes() {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b track) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// changes reports whether there is anything to see.
func (t track) changes() bool {
	return slices.ContainsFunc(t.Points, func(p point) bool { return p.V != t.Points[0].V })
}

func labelText(l map[string]string) string {
	if e := l["edge"]; e != "" {
		return e
	}
	parts := []string{l["__name__"]}
	for _, k := range slices.Sorted(maps.Keys(l)) {
		if k != "__name__" && k != "job" && k != "instance" {
			parts = append(parts, l[k])
		}
	}
	if in := l["instance"]; in != "" {
		parts = append(parts, "("+in+")")
	}
	return strings.Join(parts, " ")
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
			out = append(out, standing{From: f.T, To: duration(run)})
		}
		s := &out[i]
		if f.Receipt == nil {
			f.Receipt = s.Receipt
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
	return fmt.Sprintf("%d %s", s.Receipt.Hits, s.Receipt.Unit)
}

// edgeRow is what went over one edge in one phase.
type edgeRow struct {
	Edge             string
	Calls            map[string]int // by phase
	Errors           map[string]int
	Faults, Asserted []string
}

// edges counts the exchanges by edge and phase. Connections of edges that carry
// no HTTP are counted as one call each.
func edges(in Input) []edgeRow {
	rows := map[string]*edgeRow{}
	if in.System != nil {
		for _, e := range in.System.Spec.Edges {
			rows[e.Name()] = &edgeRow{Edge: e.Name(), Calls: map[string]int{}, Errors: map[string]int{}}
		}
	}
	for _, x := range in.Run.Exchanges {
		r := rows[x.Edge]
		phase := phaseAt(in.Run, in.Run.T(x.At))
		if r == nil || phase == "" {
			continue
		}
		r.Calls[phase]++
		if x.Error != "" || x.Status >= 500 {
			r.Errors[phase]++
		}
	}
	for _, f := range standings(in.Run) {
		if r := rows[f.On]; r != nil {
			r.Faults = append(r.Faults, f.ID)
		}
	}
	for _, f := range in.Result.Findings {
		if r := rows[f.Edge]; r != nil && f.Group == "expect" {
			r.Asserted = append(r.Asserted, f.ID)
		}
	}
	var out []edgeRow
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[name])
	}
	return out
}

func phaseAt(run *record.Run, t time.Duration) string {
	for _, p := range run.Phases {
		if t >= p.From && t < p.To {
			return p.Name
		}
	}
	return ""
}
