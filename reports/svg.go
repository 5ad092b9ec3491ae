package reports

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"

	"squall/runner/record"
)

// The timeline is one SVG drawn here, with presentation attributes only, so
// that it is readable where scripts and styles are forbidden.
const (
	svgWidth  = 1120.0
	leftEdge  = 232.0
	rightEdge = svgWidth - 16
	axisSpace = 26.0
	laneGap   = 20.0
)

// Colours that are told apart on light and dark ground, and by the
// colour-blind (Okabe and Ito); every line also has its name or its dash.
const (
	blue   = "#2f7fd1"
	orange = "#d9822b"
	red    = "#d13f3f"
	green  = "#2e9e6b"
	purple = "#9a5fc0"
	grey   = "#8a8f98"
)

// drawing collects the parts of one timeline.
type drawing struct {
	run  *record.Run
	secs []second
	from time.Duration
	to   time.Duration
	y    float64
	back strings.Builder // bands, below the lanes
	body strings.Builder
}

// timeline draws the whole run on one axis.
func timeline(in Input) template.HTML {
	d := &drawing{run: in.Run, secs: perSecond(in.Run), to: duration(in.Run), y: 40}
	if len(in.Run.Phases) > 0 {
		d.from = max(0, in.Run.Phases[0].From-time.Second)
	}
	if d.to <= d.from {
		return ""
	}
	d.loadLane()
	d.latencyLane()
	d.errorLane()
	d.stateLanes()
	d.processLanes()
	d.gaugeLanes()
	d.bands()
	d.axis()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="100%%" role="img" aria-labelledby="tl-title" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">`, svgWidth, d.y)
	out.WriteString(`<title id="tl-title">Timeline of the run: load, latency, errors, breakers and processes over time, with fault bands</title>`)
	out.WriteString(d.back.String())
	out.WriteString(d.body.String())
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) // every text in it went through escape
}

func escape(s string) string { return html.EscapeString(s) }

func (d *drawing) x(t time.Duration) float64 {
	t = min(max(t, d.from), d.to)
	return leftEdge + (rightEdge-leftEdge)*float64(t-d.from)/float64(d.to-d.from)
}

func (d *drawing) text(x, y float64, anchor, s string, more string) {
	fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`, x, y, anchor, more, escape(s))
}

// lane opens a lane with its name and returns its top.
func (d *drawing) lane(name string, height float64) float64 {
	top := d.y
	d.text(0, top+12, "start", name, `font-weight="600"`)
	d.y += height + laneGap
	return top
}

// grid draws horizontal lines with their values.
func (d *drawing) grid(top, height float64, ticks []float64, pos func(float64) float64, label func(float64) string) {
	for _, v := range ticks {
		y := top + height - height*pos(v)
		fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.13"/>`, leftEdge, rightEdge, y, y)
		d.text(leftEdge-8, y+4, "end", label(v), `fill-opacity="0.65" font-size="11"`)
	}
}

// line draws values that may have holes (NaN).
func (d *drawing) line(top, height float64, ts []time.Duration, vs []float64, pos func(float64) float64, colour, dash string) {
	var path strings.Builder
	pen := "M"
	for i, v := range vs {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, d.x(ts[i]), top+height-height*min(1, max(0, pos(v))))
		pen = "L"
	}
	fmt.Fprintf(&d.body, `<path d="%s" fill="none" stroke="%s" stroke-width="1.8" stroke-linejoin="round" stroke-dasharray="%s"/>`, path.String(), colour, dash)
}

// legend names the lines below a lane's title.
func (d *drawing) legend(top float64, items ...[3]string) { // name, colour, dash
	for i, it := range items {
		y := top + 28 + float64(i)*15
		fmt.Fprintf(&d.body, `<line x1="0" x2="20" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="2.5" stroke-dasharray="%s"/>`, y-4, y-4, it[1], it[2])
		d.text(26, y, "start", it[0], `fill-opacity="0.8" font-size="11"`)
	}
}

func (d *drawing) columns(get func(second) float64) ([]time.Duration, []float64) {
	var ts []time.Duration
	var vs []float64
	for _, s := range d.secs {
		mid := s.T + 500*time.Millisecond
		if mid < d.from || mid > d.to {
			continue
		}
		ts, vs = append(ts, mid), append(vs, get(s))
	}
	return ts, vs
}

func (d *drawing) loadLane() {
	const height = 84.0
	top := d.lane("Operations per second", height)
	offered := 0.0
	for _, l := range d.run.Loads {
		offered = max(offered, l.Arrival)
	}
	most := offered
	for _, s := range d.secs {
		most = max(most, float64(s.all()))
	}
	most = niceCeil(most)
	pos := func(v float64) float64 { return v / most }
	d.grid(top, height, []float64{0, most / 2, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
	ts, ok := d.columns(func(s second) float64 { return float64(s.OK) })
	_, all := d.columns(func(s second) float64 { return float64(s.all()) })
	_, off := d.columns(func(second) float64 { return offered })
	d.line(top, height, ts, off, pos, grey, "5 4")
	d.line(top, height, ts, all, pos, blue, "")
	d.line(top, height, ts, ok, pos, green, "2 2")
	d.legend(top, [3]string{"offered", grey, "5 4"}, [3]string{"served", blue, ""}, [3]string{"ok", green, "2 2"})
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
	ts, p50 := d.columns(func(s second) float64 { return s.P50 })
	_, p95 := d.columns(func(s second) float64 { return s.P95 })
	_, p99 := d.columns(func(s second) float64 { return s.P99 })
	d.line(top, height, ts, p50, pos, blue, "")
	d.line(top, height, ts, p95, pos, orange, "6 3")
	d.line(top, height, ts, p99, pos, purple, "2 3")
	d.legend(top, [3]string{"median", blue, ""}, [3]string{"95th percentile", orange, "6 3"}, [3]string{"99th percentile", purple, "2 3"})
}

// latency prints seconds in the unit people use.
func latency(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 0.00095:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.995:
		return fmt.Sprintf("%.3g ms", s*1e3)
	default:
		return fmt.Sprintf("%.3g s", s)
	}
}

func (d *drawing) errorLane() {
	const height = 70.0
	top := d.lane("Not ok", height)
	share := func(n func(second) int) func(second) float64 {
		return func(s second) float64 {
			if s.all() == 0 {
				return math.NaN()
			}
			return float64(n(s)) / float64(s.all())
		}
	}
	pos := func(v float64) float64 { return v }
	d.grid(top, height, []float64{0, 0.5, 1}, pos, func(v float64) string { return fmt.Sprintf("%.0f%%", v*100) })
	ts, failed := d.columns(share(func(s second) int { return s.Failed }))
	_, unknown := d.columns(share(func(s second) int { return s.Unknown }))
	d.line(top, height, ts, failed, pos, red, "")
	d.line(top, height, ts, unknown, pos, orange, "6 3")
	d.legend(top, [3]string{"failed", red, ""}, [3]string{"unknown", orange, "6 3"})
}

// band draws one stretch of a lane.
func (d *drawing) band(top, height float64, from, to time.Duration, colour, label string) {
	x, w := d.x(from), d.x(to)-d.x(from)
	fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="%s" fill-opacity="0.75"><title>%s</title></rect>`,
		x, top, max(w, 1.5), height, colour, escape(fmt.Sprintf("%s, %s to %s", label, seconds(from), seconds(to))))
	if w > 7*float64(len(label)) {
		fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="#ffffff">%s</text>`, x+w/2, top+height-4, escape(label))
	}
}

// breaker states as the gauge breaker_state gives them.
var breakerStates = map[float64][2]string{0: {"closed", green}, 1: {"half-open", orange}, 2: {"open", red}}

func (d *drawing) stateLanes() {
	const height = 16.0
	for _, t := range tracks(d.run, func(name string) bool { return name == "breaker_state" }) {
		top := d.lane("breaker "+shorten(t.Name), height)
		for i, p := range t.Points {
			end := d.to
			if i+1 < len(t.Points) {
				end = t.Points[i+1].T
			}
			if st, ok := breakerStates[p.V]; ok && end > d.from {
				d.band(top, height, p.T, end, st[1], st[0])
			}
		}
	}
}

// processLanes shows the processes that did not simply run.
func (d *drawing) processLanes() {
	const height = 16.0
	type state struct {
		at   time.Duration
		name string
	}
	lives := map[string][]state{}
	var order []string
	disturbed := map[string]bool{}
	for _, p := range d.run.Processes {
		name := map[string]string{
			"ready": "up", "resumed": "up", "restarted": "starting", "started": "starting",
			"killed": "dead", "exited": "dead", "stopped": "dead", "paused": "paused",
		}[p.Event]
		if name == "" || d.run.End != nil && p.Event == "stopped" {
			continue
		}
		if lives[p.Service] == nil {
			order = append(order, p.Service)
		}
		lives[p.Service] = append(lives[p.Service], state{p.T, name})
		if p.Event == "killed" || p.Event == "paused" || p.Event == "exited" {
			disturbed[p.Service] = disturbed[p.Service] || p.T < d.lastPhaseEnd()
		}
	}
	colours := map[string]string{"up": green, "starting": orange, "paused": purple, "dead": red}
	for _, svc := range order {
		if !disturbed[svc] {
			continue
		}
		top := d.lane("process "+svc, height)
		for i, s := range lives[svc] {
			end := d.to
			if i+1 < len(lives[svc]) {
				end = lives[svc][i+1].at
			}
			if end > d.from {
				d.band(top, height, max(s.at, d.from), end, colours[s.name], s.name)
			}
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
	queue := func(name string) bool {
		return strings.HasSuffix(name, "_pending") || strings.HasPrefix(name, "dlq_messages")
	}
	for _, t := range tracks(d.run, queue) {
		most := 0.0
		var ts []time.Duration
		var vs []float64
		for i, p := range t.Points {
			if i > 0 { // steps, not slopes
				ts, vs = append(ts, p.T), append(vs, t.Points[i-1].V)
			}
			ts, vs = append(ts, p.T), append(vs, p.V)
			most = max(most, p.V)
		}
		ts, vs = append(ts, d.to), append(vs, vs[len(vs)-1])
		most = niceCeil(most)
		pos := func(v float64) float64 { return v / most }
		top := d.lane(shorten(t.Name), height)
		d.grid(top, height, []float64{0, most}, pos, func(v float64) string { return fmt.Sprintf("%g", v) })
		d.line(top, height, ts, vs, pos, blue, "")
	}
}

// bands draws faults and phases behind all lanes.
func (d *drawing) bands() {
	bottom := d.y - laneGap
	for i, f := range standings(d.run) {
		if f.Injected == "" {
			continue
		}
		x, w := d.x(f.From), max(d.x(f.To)-d.x(f.From), 2)
		label := fmt.Sprintf("%s: %s %s on %s", f.ID, f.Kind, f.Detail, f.On)
		fmt.Fprintf(&d.back, `<rect x="%.1f" y="36" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.10"><title>%s</title></rect>`, x, w, bottom-36, red, escape(label))
		y := bottom + 16 + float64(i)*18
		fmt.Fprintf(&d.back, `<rect x="%.1f" y="%.1f" width="%.1f" height="13" rx="2" fill="%s" fill-opacity="0.30" stroke="%s"/>`, x, y-10, w, red, red)
		d.text(leftEdge-8, y, "end", "fault "+shorten(f.ID), `font-size="11"`)
		anchor, tx := "start", x+4
		if tx > svgWidth*0.62 {
			anchor, tx = "end", x-6
		}
		d.text(tx, y, anchor, fmt.Sprintf("%s %s on %s, %s", f.Kind, f.Detail, f.On, f.Hit()), `font-size="11"`)
		d.y = y + 20
	}
	for _, p := range d.run.Phases {
		if p.To < d.from {
			continue
		}
		x := d.x(p.From)
		fmt.Fprintf(&d.back, `<line x1="%.1f" x2="%.1f" y1="22" y2="%.1f" stroke="currentColor" stroke-opacity="0.4" stroke-dasharray="3 3"/>`, x, x, bottom)
		if d.x(p.To)-x > 7*float64(len(p.Name)) {
			fmt.Fprintf(&d.back, `<text x="%.1f" y="32" font-size="11" font-weight="600">%s</text>`, x+4, escape(p.Name))
		}
	}
}

// axis draws the time below everything.
func (d *drawing) axis() {
	d.y += 4
	step := niceStep((d.to - d.from).Seconds() / 10)
	for s := math.Ceil(d.from.Seconds()/step) * step; s <= d.to.Seconds(); s += step {
		x := d.x(time.Duration(s * float64(time.Second)))
		fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, x, x, d.y, d.y+5)
		d.text(x, d.y+18, "middle", fmt.Sprintf("%g s", s), `font-size="11" fill-opacity="0.75"`)
	}
	fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, leftEdge, rightEdge, d.y, d.y)
	d.y += axisSpace
}

func shorten(s string) string {
	const most = 30
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// niceCeil is the next of 1, 2, 5, 10, 20, ... that is not below v.
func niceCeil(v float64) float64 {
	if v <= 0 {
		return 1
	}
	return niceStep(v)
}

func niceStep(v float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*base*(1+1e-9) {
			return m * base
		}
	}
	return 10 * base
}
