package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/runner/verdict"
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
				d.plot.text(x, d.y+11+float64(i)*14, "start", name, `font-size="11" font-weight="600" `+halo)
				ends[i], rows = x+w+6, max(rows, i+1)
				break
			}
		}
	}
	d.y += float64(rows)*14 + 6
}

// faultBars shows when each fault stood, below what it did and hit. The notch
// is the first receipt.
func (d *drawing) faultBars() {
	const height = 8.0
	for _, f := range standings(d.run) {
		if f.Injected == "" {
			continue
		}
		d.fixed.text(0, d.y+11, "start", shorten("fault "+f.ID, 32), `font-weight="600"`)
		d.fixed.text(leftEdge, d.y+11, "start", shorten(f.What()+", "+f.Hit(), 130), `font-size="11" `+halo)
		d.plot.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s"><title>%s</title></rect>`,
			d.x(f.From), d.y+16, max(d.x(f.To)-d.x(f.From), 2), height, red, escape(seconds(f.From)+" to "+seconds(f.To)))
		if f.Bit != "" {
			d.plot.add(`<path d="M%.1f %.1fl4 4l-4 4l-4 -4z" fill="#ffffff" stroke="%s"><title>%s</title></path>`,
				d.x(f.BitAt), d.y+16, red, escape("first receipt: seen biting at "+f.Bit))
		}
		d.y += height + 22
	}
	d.y += 8
}

// marks puts a triangle where a step was begun, a probe answered or a note was
// written; what fits beside it is said there, all of it below the timeline.
func (d *drawing) marks() {
	type mark struct {
		t    time.Duration
		text string
		bad  bool
	}
	lane := func(name, colour string, marks []mark) {
		if len(marks) == 0 {
			return
		}
		top := d.lane(name, 6)
		for i, m := range marks {
			fill := colour
			if m.bad {
				fill = red
			}
			d.plot.add(`<path d="M%.1f %.1fl5 10h-10z" fill="%s"><title>%s</title></path>`, d.x(m.t), top+1, fill, escape(seconds(m.t)+" "+m.text))
			room := svgWidth - d.x(m.t) - 8
			if i+1 < len(marks) {
				room = d.x(marks[i+1].t) - d.x(m.t) - 16
			}
			if n := int(room / (0.58 * 10)); n >= 12 {
				d.plot.text(d.x(m.t)+8, top+11, "start", shorten(m.text, n), `font-size="10" fill-opacity="0.85"`)
			}
		}
	}
	var steps, probes, written []mark
	for _, s := range d.run.Steps {
		if s.State == record.StepBegun {
			steps = append(steps, mark{s.T, shorten(s.ID+": "+s.Does, mostText/4), false})
		}
	}
	for _, p := range d.run.Probes[:min(len(d.run.Probes), 200)] {
		if p.T <= d.lastPhaseEnd() {
			text := strings.Replace(p.Name, "books ", "books of ", 1)
			if !p.OK {
				text += ": no answer"
			}
			probes = append(probes, mark{p.T, shorten(text, mostText/4), !p.OK})
		}
	}
	for _, n := range notes(d.run) {
		text := n.Text
		if n.Author != "" {
			text = n.Author + ": " + text
		}
		written = append(written, mark{n.T, shorten(text, mostText/4), n.Level == "error"})
	}
	lane("Steps", blue, steps)
	lane("Probes", grey, probes)
	lane("Notes and people", purple, written)
}

func (d *drawing) loadLane() {
	const height = 84.0
	top := d.lane("Operations per second", height)
	offered, stopped := asked(d.run), d.to
	for _, l := range d.run.Loads {
		if l.Event == "stopped" {
			stopped = l.T
		}
	}
	step := d.digest.Step.Seconds()
	most, anyLost := 0.0, 0.0
	for _, b := range d.digest.Buckets {
		most, anyLost = max(most, offered(b.T), float64(b.all())/step, b.Lost/step), anyLost+b.Lost
	}
	most = niceCeil(most)
	pos := func(v float64) float64 { return v / most }
	d.grid(top, height, []float64{0, most / 2, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
	lines := []stroke{{"offered", grey, "5 4"}, {"answered", blue, ""}, {"ok", green, "2 2"}}
	values := []func(bucket) float64{
		func(b bucket) float64 {
			if b.T > stopped {
				return math.NaN()
			}
			return offered(b.T)
		},
		func(b bucket) float64 { return float64(b.all()) / step },
		func(b bucket) float64 { return float64(b.OK) / step },
	}
	if anyLost > 0 {
		lines = append(lines, stroke{"not started (dropped)", red, "1 3"})
		values = append(values, func(b bucket) float64 { return b.Lost / step })
	}
	for i := range lines {
		ts, vs := d.columns(values[i])
		d.line(top, height, ts, vs, pos, lines[i])
	}
	d.legend(top, lines...)
}

// asked is the arrival rate that the generator was asked for at an instant.
func asked(run *record.Run) func(time.Duration) float64 {
	var from []record.Stage
	for _, l := range run.Loads {
		if l.Arrival == 0 {
			continue
		}
		from = []record.Stage{{Arrival: l.Arrival}}
		for _, s := range l.Stages {
			from = append(from, record.Stage{At: l.T + s.At, Arrival: s.Arrival})
		}
	}
	return func(t time.Duration) (rate float64) {
		for _, s := range from {
			if t >= s.At {
				rate = s.Arrival
			}
		}
		return rate
	}
}

// latencyLane is logarithmic: a fault moves latency by orders of magnitude.
// What was not ok has a line of its own, or quick errors would look like speed.
func (d *drawing) latencyLane() {
	const height = 120.0
	top := d.lane("Latency", height)
	lo, hi, bad := math.Inf(1), math.Inf(-1), false
	for _, b := range d.digest.Buckets {
		for _, v := range []record.Float{b.P50, b.P99, b.Bad} {
			if v := float64(v); !math.IsNaN(v) && v > 0 {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		bad = bad || !math.IsNaN(float64(b.Bad))
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
	d.grid(top, height, ticks, pos, func(v float64) string { return latency(record.Float(v)) })
	lines := []stroke{{"ok: median", blue, ""}, {"ok: 95th percentile", orange, "6 3"}, {"ok: 99th percentile", purple, "2 3"}}
	get := []func(bucket) record.Float{
		func(b bucket) record.Float { return b.P50 },
		func(b bucket) record.Float { return b.P95 },
		func(b bucket) record.Float { return b.P99 },
	}
	if bad {
		lines = append(lines, stroke{"not ok: 95th percentile", red, "8 3 2 3"})
		get = append(get, func(b bucket) record.Float { return b.Bad })
	}
	for i := range lines {
		ts, vs := d.columns(func(b bucket) float64 { return float64(get[i](b)) })
		d.line(top, height, ts, vs, pos, lines[i])
	}
	d.legend(top, lines...)
}

func (d *drawing) errorLane() {
	const height = 70.0
	top := d.lane("Not ok", height)
	pos := func(v float64) float64 { return v }
	d.grid(top, height, []float64{0, 0.5, 1}, pos, func(v float64) string { return fmt.Sprintf("%.0f%%", v*100) })
	ts, failed := d.columns(func(b bucket) float64 { return share(b.Failed, b.all()) })
	_, unknown := d.columns(func(b bucket) float64 { return share(b.Unknown, b.all()) })
	lines := []stroke{{"failed", red, ""}, {"unknown (reply lost)", orange, "6 3"}}
	d.line(top, height, ts, failed, pos, lines[0])
	d.line(top, height, ts, unknown, pos, lines[1])
	d.legend(top, lines...)
}

// retryLane is there if anything was tried again.
func (d *drawing) retryLane() {
	const height = 40.0
	step, most := d.digest.Step.Seconds(), 0
	for _, b := range d.digest.Buckets {
		most = max(most, b.Retries)
	}
	if most == 0 {
		return
	}
	top := d.lane("Retries per second", height)
	ceil := niceCeil(float64(most) / step)
	pos := func(v float64) float64 { return v / ceil }
	d.grid(top, height, []float64{0, ceil}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
	ts, vs := d.columns(func(b bucket) float64 { return float64(b.Retries) / step })
	line := stroke{"between all services", orange, ""}
	d.line(top, height, ts, vs, pos, line)
	d.legend(top, line)
}

// breaker states as the gauge breaker_state gives them.
var breakerStates = map[float64]state{0: {"closed", green, 0.2}, 1: {"half-open", orange, 0.5}, 2: {"open", red, 1}}

func breakerState(v float64) string {
	if s, ok := breakerStates[v]; ok {
		return s.Name
	}
	return fmt.Sprintf("%g", v)
}

func (d *drawing) breakerLanes() {
	for _, t := range d.digest.Breaker {
		var changes []change
		for _, p := range t.Points {
			changes = append(changes, change{p.T, breakerStates[float64(p.V)]})
		}
		d.bands("breaker "+t.Name, changes)
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
		d.bands("process "+service, lives[service])
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
	for _, t := range d.digest.Queues {
		ts, vs, most := steps(t, d.to)
		most = niceCeil(most)
		pos := func(v float64) float64 { return v / most }
		top := d.lane(shorten(t.Name, 28), height)
		d.fixed.text(0, top+26, "start", shorten(t.From, 28), `fill-opacity="0.85" font-size="11"`)
		d.grid(top, height, []float64{0, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
		d.line(top, height, ts, vs, pos, stroke{Colour: blue})
	}
}

// steps turns changes into a line of steps up to the end of the run, with the gaps.
func steps(t track, end time.Duration) (ts []time.Duration, vs []float64, most float64) {
	for i, p := range t.Points {
		if i > 0 {
			ts, vs = append(ts, p.T), append(vs, float64(t.Points[i-1].V))
		}
		ts, vs = append(ts, p.T), append(vs, float64(p.V))
		if !p.nan() {
			most = max(most, float64(p.V))
		}
	}
	return append(ts, end), append(vs, vs[len(vs)-1]), most
}

// ground draws faults and phases behind all lanes. Where faults overlap, the
// ground is tinted once: lines must stay readable over many of them.
func (d *drawing) ground() {
	bottom := d.y - laneGap + 8
	for _, w := range stretches(standings(d.run)) {
		d.back.add(`<rect x="%.1f" y="20" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.08"/>`,
			d.x(w.From), max(d.x(w.To)-d.x(w.From), 2), bottom-20, red)
	}
	for _, p := range d.run.Phases {
		if p.To > d.from {
			x := d.x(p.From)
			d.back.add(`<line x1="%.1f" x2="%.1f" y1="6" y2="%.1f" stroke="currentColor" stroke-opacity="0.4" stroke-dasharray="3 3"/>`, x, x, bottom)
		}
	}
}

// stretches are the parts of the run in which some fault was in force.
func stretches(faults []standing) (out []verdict.Window) {
	faults = slices.Clone(faults)
	slices.SortStableFunc(faults, func(a, b standing) int { return cmp.Compare(a.From, b.From) })
	for _, f := range faults {
		switch n := len(out) - 1; {
		case f.Injected == "":
		case n >= 0 && f.From <= out[n].To:
			out[n].To = max(out[n].To, f.To)
		default:
			out = append(out, verdict.Window{From: f.From, To: f.To})
		}
	}
	return out
}
