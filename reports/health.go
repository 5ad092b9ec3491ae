package reports

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/metrics"
	"squall/runner/record"
)

// health tells whether generator and machine were fit to measure with.
type health struct {
	Dropped  float64       `json:"dropped"` // iterations that the generator could not start
	Steal    record.Float  `json:"steal"`   // share of CPU time that the hypervisor gave to others; NaN: not recorded
	Busy     record.Float  `json:"busy"`    // share of CPU time that was used
	Waiting  record.Float  `json:"waiting"` // share of CPU time that waited for disks
	Load     record.Float  `json:"load"`    // most processes that wanted to run at once, on average over a minute
	CPUs     int           `json:"cpus"`
	Sources  []source      `json:"sources"`
	Slowest  time.Duration `json:"slowest"` // look at a source
	LostLogs uint64        `json:"lost"`    // lines of the record that had to be given up
}

// source is one metrics source.
type source struct {
	Name   string        `json:"name"`
	Looks  int           `json:"looks"`
	Failed int           `json:"failed"`
	Gap    time.Duration `json:"gap"` // longest time without an answer
	At     time.Duration `json:"at"`  // when that began
}

// healthOf looks at the judged phases only: what boots answers late.
func healthOf(run *record.Run) health {
	h := health{Steal: nan, Busy: nan, Waiting: nan, Load: nan}
	span, found := run.Phase("run")
	if !found {
		return h
	}
	sources, last := map[string]*source{}, map[string]time.Duration{}
	for _, sc := range run.Scrapes {
		t := run.T(sc.At)
		if t < span.From || t > span.To || sc.Source == metrics.MachineSource {
			continue
		}
		s := sources[sc.Source]
		if s == nil {
			s = &source{Name: sc.Source}
			sources[sc.Source], last[sc.Source] = s, span.From
		}
		s.Looks++
		h.Slowest = max(h.Slowest, time.Duration(sc.Took))
		if !sc.Up {
			s.Failed++
			continue
		}
		s.gap(last[sc.Source], t)
		last[sc.Source] = t
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		sources[name].gap(last[name], span.To)
		h.Sources = append(h.Sources, *sources[name])
	}
	slices.SortStableFunc(h.Sources, func(a, b source) int { return cmp.Compare(b.Gap, a.Gap) })
	for _, n := range dropped(run, run.Last+1, 1) {
		h.Dropped += n
	}
	if run.End != nil {
		for _, t := range run.End.Streams {
			h.LostLogs += t.Dropped
		}
	}
	h.machine(run, span)
	return h
}

var nan = record.Float(math.NaN())

func (s *source) gap(from, to time.Duration) {
	if to-from > s.Gap {
		s.Gap, s.At = to-from, from
	}
}

// machine takes shares of CPU time between the ends of the judged phases.
func (h *health) machine(run *record.Run, span record.Span) {
	cpu := tracks(run, func(name string) bool { return name == "node_cpu_seconds_total" })
	spent := map[string]float64{}
	var all float64
	for _, t := range cpu {
		mode := strings.TrimPrefix(t.Name, "node_cpu_seconds_total ")
		d := float64(valueAt(t, span.To) - valueAt(t, span.From))
		spent[mode] += d
		all += d
	}
	if all > 0 {
		h.Steal, h.Waiting = record.Float(spent["steal"]/all), record.Float(spent["iowait"]/all)
		h.Busy = record.Float(1 - (spent["idle"]+spent["iowait"])/all)
	}
	for _, t := range tracks(run, func(name string) bool { return name == "node_load1" }) {
		for _, p := range t.Points {
			if !p.nan() && (math.IsNaN(float64(h.Load)) || p.V > h.Load) {
				h.Load = p.V
			}
		}
	}
	for _, sc := range run.Scrapes {
		for _, n := range sc.New {
			if sc.Source == metrics.MachineSource && n.Labels["__name__"] == "machine_cpu_cores" {
				for _, v := range sc.V {
					if v.ID == n.ID {
						h.CPUs = int(v.V)
					}
				}
			}
		}
	}
}

// valueAt is what a track said last at an instant; its first value before that.
func valueAt(t track, at time.Duration) record.Float {
	v := t.Points[0].V
	for _, p := range t.Points {
		if p.T > at {
			break
		}
		if !p.nan() {
			v = p.V
		}
	}
	return v
}

// Sick says what makes the measurements doubtful, a sentence each.
func (h health) Sick() (out []string) {
	if h.Dropped > 0 {
		out = append(out, "The load generator could not start "+count(h.Dropped, "iteration")+": the load was lighter than asked for.")
	}
	if h.Steal > 0.05 {
		out = append(out, "The hypervisor gave "+percent(float64(h.Steal))+" of this machine's CPU time to others: latencies are longer than they would be.")
	}
	if h.Busy > 0.95 {
		out = append(out, "The machine was busy for "+percent(float64(h.Busy))+" of the time: what is slow may be slow for want of CPU.")
	}
	if h.LostLogs > 0 {
		out = append(out, "The record had to give up "+count(float64(h.LostLogs), "line")+".")
	}
	return out
}

// longGap is a gap in a metrics source worth naming: eight looks.
const longGap = 2 * time.Second

// Silent are the sources that did not answer for long.
func (h health) Silent() (out []source) {
	for _, s := range h.Sources {
		if s.Gap >= longGap {
			out = append(out, s)
		}
	}
	return out
}
