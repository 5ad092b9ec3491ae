package reports

import (
	"fmt"
	"math"
	"time"
)

// phaseNames writes the phases above the lanes. A name that does not fit beside
// the one before goes a row down.
func (d *drawing) phaseNames() {
	const size = 11.0
	var ends [3]float64 // where each row is taken up to
	rows := 1
	for _, p := range d.run.Phases {
		if p.To <= d.from {
			continue
		}
		name := shorten(p.Name, 16)
		x, w := d.x(p.From)+4, textWidth(name, size)
		x = min(x, svgWidth-w)
		for i := range ends {
			if x >= ends[i] {
				d.text(x, d.y+11+float64(i)*14, "start", name, `font-size="11" font-weight="600" `+halo)
				ends[i], rows = x+w+6, max(rows, i+1)
				break
			}
		}
	}
	d.y += float64(rows)*14 + 6
}

// faultBars shows when each fault stood, below what it did and hit.
func (d *drawing) faultBars() {
	const height = 8.0
	for _, f := range standings(d.run) {
		if f.Injected == "" {
			continue
		}
		d.text(0, d.y+11, "start", shorten("fault "+f.ID, 32), `font-weight="600"`)
		d.text(leftEdge, d.y+11, "start", shorten(f.What()+", "+f.Hit(), 130),
			`font-size="11" `+halo)
		fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s"><title>%s</title></rect>`,
			d.x(f.From), d.y+16, max(d.x(f.To)-d.x(f.From), 2), height, red, escape(seconds(f.From)+" to "+seconds(f.To)))
		d.y += height + 22
	}
	d.y += 8
}

// noteMarks puts a triangle where a note was written; the notes follow the timeline.
func (d *drawing) noteMarks() {
	if len(d.run.Notes) == 0 {
		return
	}
	top := d.lane("Notes", 6)
	for _, n := range d.run.Notes {
		x := d.x(n.T)
		fmt.Fprintf(&d.body, `<path d="M%.1f %.1fl5 10h-10z" fill="%s"><title>%s</title></path>`, x, top+1, purple, escape(seconds(n.T)+" "+n.Text))
	}
}

func (d *drawing) loadLane() {
	const height = 84.0
	top := d.lane("Operations per second", height)
	offered, stopped := 0.0, d.to
	for _, l := range d.run.Loads {
		offered = max(offered, l.Arrival)
		if l.Event == "stopped" {
			stopped = l.T
		}
	}
	lost := dropped(d.run, len(d.secs))
	most, anyLost := offered, 0.0
	for i, s := range d.secs {
		most, anyLost = max(most, float64(s.all()), lost[i]), anyLost+lost[i]
	}
	most = niceCeil(most)
	pos := func(v float64) float64 { return v / most }
	d.grid(top, height, []float64{0, most / 2, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
	lines := []stroke{{"offered", grey, "5 4"}, {"answered", blue, ""}, {"ok", green, "2 2"}}
	values := []func(second) float64{
		func(s second) float64 {
			if s.T > stopped {
				return math.NaN()
			}
			return offered
		},
		func(s second) float64 { return float64(s.all()) },
		func(s second) float64 { return float64(s.OK) },
	}
	if anyLost > 0 {
		lines = append(lines, stroke{"not started (dropped)", red, "1 3"})
		values = append(values, func(s second) float64 { return lost[int(s.T/time.Second)] })
	}
	for i := range lines {
		ts, vs := d.columns(values[i])
		d.line(top, height, ts, vs, pos, lines[i])
	}
	d.legend(top, lines...)
}

// latencyLane is logarithmic: a fault moves latency by orders of magnitude.
func (d *drawing) latencyLane() {
	const height = 110.0
	top := d.lane("Latency of ok operations", height)
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range d.secs {
		for _, v := range []float64{s.P50, s.P99} {
			if !math.IsNaN(v) && v > 0 {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if math.IsInf(lo, 1) {
		lo, hi = 0.001, 1
	}
	from, to := math.Floor(math.Log10(lo)), math.Ceil(math.Log10(hi))
	if to <= from {
		to = from + 1
	}
	pos := func(v float64) float64 { return (math.Log10(v) - from) / (to - from) }
	var ticks []float64
	for e := from; e <= to; e++ {
		ticks = append(ticks, math.Pow(10, e))
	}
	d.grid(top, height, ticks, pos, latency)
	lines := []stroke{{"median", blue, ""}, {"95th percentile", orange, "6 3"}, {"99th percentile", purple, "2 3"}}
	for i, get := range []func(second) float64{
		func(s second) float64 { return s.P50 },
		func(s second) float64 { return s.P95 },
		func(s second) float64 { return s.P99 },
	} {
		ts, vs := d.columns(get)
		d.line(top, height, ts, vs, pos, lines[i])
	}
	d.legend(top, lines...)
}

func (d *drawing) errorLane() {
	const height = 70.0
	top := d.lane("Not ok", height)
	pos := func(v float64) float64 { return v }
	d.grid(top, height, []float64{0, 0.5, 1}, pos, func(v float64) string { return fmt.Sprintf("%.0f%%", v*100) })
	ts, failed := d.columns(func(s second) float64 { return share(s.Failed, s.all()) })
	_, unknown := d.columns(func(s second) float64 { return share(s.Unknown, s.all()) })
	lines := []stroke{{"failed", red, ""}, {"unknown (reply lost)", orange, "6 3"}}
	d.line(top, height, ts, failed, pos, lines[0])
	d.line(top, height, ts, unknown, pos, lines[1])
	d.legend(top, lines...)
}

// breaker states as the gauge breaker_state gives them.
var breakerStates = map[float64]state{0: {"closed", green, 0.2}, 1: {"half-open", orange, 0.5}, 2: {"open", red, 1}}

func (d *drawing) breakerLanes() {
	for _, t := range tracks(d.run, isBreaker) {
		top := d.lane("breaker "+t.Name, bandHeight)
		for i, p := range t.Points {
			end := d.to
			if i+1 < len(t.Points) {
				end = t.Points[i+1].T
			}
			if s, ok := breakerStates[p.V]; ok {
				d.band(top, p.T, end, s)
			}
		}
	}
}

// What a process is after an event.
var (
	up       = state{"up", green, 0.2}
	starting = state{"starting", orange, 0.5}
	paused   = state{"paused", purple, 1}
	dead     = state{"dead", red, 1}

	processStates = map[string]state{
		"ready": up, "resumed": up, "started": starting, "restarted": starting,
		"killed": dead, "exited": dead, "stopped": dead, "paused": paused,
	}
)

// processLanes shows the processes that did not simply run.
func (d *drawing) processLanes() {
	type change struct {
		at time.Duration
		to state
	}
	lives := map[string][]change{}
	var order []string
	disturbed := map[string]bool{}
	end := d.lastPhaseEnd()
	for _, p := range d.run.Processes {
		s, ok := processStates[p.Event]
		if !ok || p.T > end { // the routine of the end is no news
			continue
		}
		if lives[p.Service] == nil {
			order = append(order, p.Service)
		}
		lives[p.Service] = append(lives[p.Service], change{p.T, s})
		disturbed[p.Service] = disturbed[p.Service] || s == dead || s == paused
	}
	for _, service := range order {
		if !disturbed[service] {
			continue
		}
		top := d.lane("process "+service, bandHeight)
		for i, c := range lives[service] {
			until := d.to
			if i+1 < len(lives[service]) {
				until = lives[service][i+1].at
			}
			d.band(top, c.at, until, c.to)
		}
	}
}

func (d *drawing) lastPhaseEnd() time.Duration {
	if n := len(d.run.Phases); n > 0 {
		return d.run.Phases[n-1].To
	}
	return d.to
}

// gaugeLanes shows queues: whatever is pending or dead-lettered and moved.
func (d *drawing) gaugeLanes() {
	const height = 34.0
	for _, t := range tracks(d.run, isQueue) {
		ts, vs, most := steps(t, d.to)
		most = niceCeil(most)
		pos := func(v float64) float64 { return v / most }
		top := d.lane(shorten(t.Name, 28), height)
		d.text(0, top+26, "start", shorten(t.From, 28), `fill-opacity="0.85" font-size="11"`)
		d.grid(top, height, []float64{0, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
		d.line(top, height, ts, vs, pos, stroke{Colour: blue})
	}
}

// steps turns changes into a line of steps up to the end of the run.
func steps(t track, end time.Duration) (ts []time.Duration, vs []float64, most float64) {
	for i, p := range t.Points {
		if i > 0 {
			ts, vs = append(ts, p.T), append(vs, t.Points[i-1].V)
		}
		ts, vs = append(ts, p.T), append(vs, p.V)
		most = max(most, p.V)
	}
	return append(ts, end), append(vs, vs[len(vs)-1]), most
}

// ground draws faults and phases behind all lanes.
func (d *drawing) ground() {
	bottom := d.y - laneGap + 8
	for _, f := range standings(d.run) {
		if f.Injected != "" {
			fmt.Fprintf(&d.back, `<rect x="%.1f" y="20" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.07"/>`,
				d.x(f.From), max(d.x(f.To)-d.x(f.From), 2), bottom-20, red)
		}
	}
	for _, p := range d.run.Phases {
		if p.To > d.from {
			x := d.x(p.From)
			fmt.Fprintf(&d.back, `<line x1="%.1f" x2="%.1f" y1="6" y2="%.1f" stroke="currentColor" stroke-opacity="0.4" stroke-dasharray="3 3"/>`, x, x, bottom)
		}
	}
}
