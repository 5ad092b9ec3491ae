package reports

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"squall/runner/record"
)

const (
	leftEdge  = 240.0
	rightEdge = svgWidth - 12
	axisSpace = 26.0
	laneGap   = 22.0
)

// drawing is the timeline: all lanes on one axis. What has a place in time is
// kept apart, so that a script can stretch it.
type drawing struct {
	in     Input
	digest *Digest
	run    *record.Run
	from   time.Duration
	to     time.Duration
	y      float64
	fixed  picture // names, values and grid
	back   picture // behind the lanes, in time
	plot   picture // in time
	state  []stateLane
}

// stateLane is what the cursor can say of a lane of bands.
type stateLane struct {
	Name string `json:"name"`
	At   []any  `json:"at"` // seconds, word, seconds, word...
}

// timeline draws the whole run; nothing for a run without length.
func timeline(in Input) (template.HTML, *cursorData) {
	d := &drawing{in: in, digest: in.digest(), run: in.Run, to: in.Run.Last, y: 6}
	if len(in.Run.Phases) > 0 {
		d.from = max(0, in.Run.Phases[0].From-500*time.Millisecond)
	}
	if d.to <= d.from {
		return "", nil
	}
	d.phaseNames()
	d.faultBars()
	d.marks()
	d.loadLane()
	d.latencyLane()
	d.errorLane()
	d.retryLane()
	d.breakerLanes()
	d.processLanes()
	d.gaugeLanes()
	d.ground()
	axis := d.axis()
	var out picture
	out.add(`<defs><clipPath id="plot"><rect x="%.0f" y="0" width="%.0f" height="%.0f" fill="none"/></clipPath></defs>`, leftEdge-1, svgWidth-leftEdge+1, d.y)
	out.add(`<g clip-path="url(#plot)" data-timed="">%s</g>%s<g clip-path="url(#plot)" data-timed="">%s</g><g id="axis">%s</g>`,
		d.back.b.String(), d.fixed.b.String(), d.plot.b.String(), axis.b.String())
	return out.whole(svgWidth, d.y, "Timeline of the run: faults, load, latency, errors, retries, breakers, processes and queues on one axis", ` id="timeline-picture"`), d.cursor()
}

// cursorData is what a script needs to read values at an instant and to zoom.
type cursorData struct {
	From   float64     `json:"from"` // seconds, at left
	To     float64     `json:"to"`
	Left   float64     `json:"left"` // in the picture
	Right  float64     `json:"right"`
	Axis   float64     `json:"axis"` // height of the axis in the picture
	Step   float64     `json:"step"`
	Names  []string    `json:"names"`
	Rows   [][]any     `json:"rows"` // seconds, then a text for each name
	States []stateLane `json:"states"`
	Spans  []cursorAt  `json:"spans"`
}

// cursorAt is a span that can be zoomed to.
type cursorAt struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

func (d *drawing) cursor() *cursorData {
	c := &cursorData{
		From: d.from.Seconds(), To: d.to.Seconds(), Left: leftEdge, Right: rightEdge, Axis: d.y - axisSpace, Step: d.digest.Step.Seconds(),
		Names: []string{"ok", "failed", "unknown", "median", "95th", "99th", "not ok, 95th", "retries"},
		Rows:  [][]any{}, States: append([]stateLane{}, d.state...), Spans: []cursorAt{},
	}
	for _, b := range d.digest.Buckets {
		c.Rows = append(c.Rows, []any{b.T.Seconds(), d.perSecond(b.OK), d.perSecond(b.Failed), d.perSecond(b.Unknown), latency(b.P50), latency(b.P95), latency(b.P99), latency(b.Bad), d.perSecond(b.Retries)})
	}
	for _, p := range d.run.Phases {
		if p.To > d.from {
			c.Spans = append(c.Spans, cursorAt{plain(shorten(p.Name, 16)), p.From.Seconds(), p.To.Seconds()})
		}
	}
	return c
}

func (d *drawing) perSecond(n int) string {
	return fmt.Sprintf("%.4g/s", float64(n)/d.digest.Step.Seconds())
}

func (d *drawing) x(t time.Duration) float64 {
	t = min(max(t, d.from), d.to)
	return leftEdge + (rightEdge-leftEdge)*float64(t-d.from)/float64(d.to-d.from)
}

// lane opens a lane with its name and returns its top.
func (d *drawing) lane(name string, height float64) float64 {
	top := d.y
	d.fixed.text(0, top+11, "start", shorten(name, 32), `font-weight="600"`)
	d.y += height + laneGap
	return top
}

// grid draws horizontal lines with their values.
func (d *drawing) grid(top, height float64, ticks []float64, pos func(float64) float64, label func(float64) string) {
	for _, v := range ticks {
		y := top + height - height*pos(v)
		d.fixed.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.13"/>`, leftEdge, rightEdge, y, y)
		d.fixed.text(leftEdge-8, y+4, "end", label(v), `fill-opacity="0.7" font-size="11"`)
	}
}

// stroke is how a line looks; Dash tells lines apart without colour.
type stroke struct{ Name, Colour, Dash string }

func (s stroke) attributes() string {
	if s.Dash == "" {
		return fmt.Sprintf(`stroke="%s"`, s.Colour)
	}
	return fmt.Sprintf(`stroke="%s" stroke-dasharray="%s"`, s.Colour, s.Dash)
}

// line draws values that may have holes (NaN). A value between two holes is a dot.
func (d *drawing) line(top, height float64, ts []time.Duration, vs []float64, pos func(float64) float64, s stroke) {
	var path strings.Builder
	hole := func(i int) bool { return i < 0 || i >= len(vs) || math.IsNaN(vs[i]) }
	for i, v := range vs {
		if hole(i) {
			continue
		}
		x, y := d.x(ts[i]), top+height-height*min(1, max(0, pos(v)))
		switch {
		case hole(i-1) && hole(i+1):
			d.plot.add(`<circle cx="%.1f" cy="%.1f" r="2.2" fill="%s"/>`, x, y, s.Colour)
		case hole(i - 1):
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		default:
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		}
	}
	if path.Len() > 0 {
		d.plot.add(`<path d="%s" fill="none" stroke-width="1.8" stroke-linejoin="round" %s/>`, path.String(), s.attributes())
	}
}

// legend names the lines below a lane's title.
func (d *drawing) legend(top float64, strokes ...stroke) {
	for i, s := range strokes {
		y := top + 28 + float64(i)*16
		d.fixed.add(`<line x1="0" x2="22" y1="%.1f" y2="%.1f" stroke-width="2.4" %s/>`, y-4, y-4, s.attributes())
		d.fixed.text(28, y, "start", s.Name, `fill-opacity="0.85" font-size="11"`)
	}
}

// columns are the values of whole buckets under load, each at its middle.
func (d *drawing) columns(get func(bucket) float64) (ts []time.Duration, vs []float64) {
	for _, b := range d.digest.Buckets {
		if mid := b.T + d.digest.Step/2; b.T+d.digest.Step > d.digest.Begin && mid <= d.to {
			ts, vs = append(ts, mid), append(vs, get(b))
		}
	}
	return ts, vs
}

// bandHeight is the room of a lane of bands.
const bandHeight = 20.0

// state is what a band says. Level, from 0 to 1, is its height: the further
// from normal, the taller, so that colour and word are not needed.
type state struct {
	Name, Colour string
	Level        float64
}

// change is a state from an instant on; one without a name is a gap.
type change struct {
	at time.Duration
	to state
}

// bands draws a lane of states, the last of which lasts to the end. The name
// says what it is of, then which: "breaker orders-1 -> payments".
func (d *drawing) bands(name string, changes []change) {
	top := d.lane("", bandHeight)
	what, of, _ := strings.Cut(name, " ")
	d.fixed.text(0, top+6, "start", what, `font-weight="600"`)
	d.fixed.text(0, top+20, "start", shorten(of, 36), `fill-opacity="0.85" font-size="11"`)
	lane := stateLane{Name: plain(shorten(name, 48))}
	for i, c := range changes {
		until := d.to
		if i+1 < len(changes) {
			until = changes[i+1].at
		}
		if c.to.Name != "" {
			d.band(top, c.at, until, c.to)
		}
		lane.At = append(lane.At, c.at.Seconds(), c.to.Name)
	}
	d.state = append(d.state, lane)
}

// band draws one stretch of a lane.
func (d *drawing) band(top float64, from, to time.Duration, s state) {
	from = max(from, d.from)
	if to <= from {
		return
	}
	x, w, h := d.x(from), d.x(to)-d.x(from), bandHeight*s.Level
	d.plot.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`,
		x, top+bandHeight-h, max(w, 1.5), h, s.Colour, escape(fmt.Sprintf("%s, %s to %s", s.Name, seconds(from), seconds(to))))
	if w < textWidth(s.Name, 11)+6 {
		return
	}
	if s.Level == 1 {
		d.plot.text(x+w/2, top+bandHeight/2+4, "middle", s.Name, `font-size="11" font-weight="600" fill="#ffffff"`)
		return
	}
	d.plot.text(x+w/2, top+bandHeight-h-3, "middle", s.Name, `font-size="10" fill-opacity="0.8"`)
}

// axis draws the time below everything.
func (d *drawing) axis() (p picture) {
	d.y -= laneGap - 10
	step := niceStep((d.to - d.from).Seconds() / 10)
	for s := math.Ceil(d.from.Seconds()/step) * step; s <= d.to.Seconds(); s += step {
		x := d.x(time.Duration(s * float64(time.Second)))
		p.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, x, x, d.y, d.y+5)
		anchor := "middle"
		if x > rightEdge-14 {
			anchor = "end"
		}
		p.text(x, d.y+18, anchor, fmt.Sprintf("%g s", s), `font-size="11" fill-opacity="0.75"`)
	}
	d.fixed.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, leftEdge, rightEdge, d.y, d.y)
	d.y += axisSpace
	return p
}
