package reports

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"squall/runner/record"
)

// The timeline is one SVG drawn here, with presentation attributes only, so
// that it is readable where scripts and styles are forbidden. It has its own
// width in pixels: on a narrow page it scrolls instead of becoming illegible.
const (
	svgWidth  = 1120.0
	leftEdge  = 240.0
	rightEdge = svgWidth - 12
	axisSpace = 26.0
	laneGap   = 22.0
)

// Colours that are told apart on light and dark ground, and by the
// colour-blind; every line also has its dash, every band its height and word.
const (
	blue   = "#2f7fd1"
	orange = "#d27d1f"
	red    = "#cc3b3b"
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
	back strings.Builder // behind the lanes
	body strings.Builder
}

// timeline draws the whole run on one axis; nothing for a run without length.
func timeline(in Input) template.HTML {
	d := &drawing{run: in.Run, secs: perSecond(in.Run), to: in.Run.Last, y: 6}
	if len(in.Run.Phases) > 0 {
		d.from = max(0, in.Run.Phases[0].From-500*time.Millisecond)
	}
	if d.to <= d.from {
		return ""
	}
	d.phaseNames()
	d.faultBars()
	d.noteMarks()
	d.loadLane()
	d.latencyLane()
	d.errorLane()
	d.breakerLanes()
	d.processLanes()
	d.gaugeLanes()
	d.ground()
	d.axis()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-labelledby="timeline-title" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">`,
		svgWidth, d.y, svgWidth, d.y)
	out.WriteString(`<title id="timeline-title">Timeline of the run: faults, load, latency, errors, breakers, processes and queues on one axis</title>`)
	out.WriteString(d.back.String())
	out.WriteString(d.body.String())
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) // every text in it went through escape
}

func escape(s string) string { return html.EscapeString(plain(s)) }

func (d *drawing) x(t time.Duration) float64 {
	t = min(max(t, d.from), d.to)
	return leftEdge + (rightEdge-leftEdge)*float64(t-d.from)/float64(d.to-d.from)
}

// textWidth guesses, generously, for want of font metrics.
func textWidth(s string, size float64) float64 {
	return 0.58 * size * float64(utf8.RuneCountInString(s))
}

// halo keeps text readable where it crosses a line.
const halo = `stroke="Canvas" stroke-width="3" stroke-linejoin="round" paint-order="stroke"`

func (d *drawing) text(x, y float64, anchor, s, more string) {
	fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`, x, y, anchor, more, escape(s))
}

// lane opens a lane with its name and returns its top.
func (d *drawing) lane(name string, height float64) float64 {
	top := d.y
	d.text(0, top+11, "start", shorten(name, 32), `font-weight="600"`)
	d.y += height + laneGap
	return top
}

// grid draws horizontal lines with their values.
func (d *drawing) grid(top, height float64, ticks []float64, pos func(float64) float64, label func(float64) string) {
	for _, v := range ticks {
		y := top + height - height*pos(v)
		fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.13"/>`, leftEdge, rightEdge, y, y)
		d.text(leftEdge-8, y+4, "end", label(v), `fill-opacity="0.7" font-size="11"`)
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
			fmt.Fprintf(&d.body, `<circle cx="%.1f" cy="%.1f" r="2.2" fill="%s"/>`, x, y, s.Colour)
		case hole(i - 1):
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		default:
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		}
	}
	if path.Len() > 0 {
		fmt.Fprintf(&d.body, `<path d="%s" fill="none" stroke-width="1.8" stroke-linejoin="round" %s/>`, path.String(), s.attributes())
	}
}

// legend names the lines below a lane's title.
func (d *drawing) legend(top float64, strokes ...stroke) {
	for i, s := range strokes {
		y := top + 28 + float64(i)*16
		fmt.Fprintf(&d.body, `<line x1="0" x2="22" y1="%.1f" y2="%.1f" stroke-width="2.4" %s/>`, y-4, y-4, s.attributes())
		d.text(28, y, "start", s.Name, `fill-opacity="0.85" font-size="11"`)
	}
}

// columns are the values of whole seconds under load, each at its middle.
func (d *drawing) columns(get func(second) float64) (ts []time.Duration, vs []float64) {
	begin := loadBegins(d.run)
	for _, s := range d.secs {
		if mid := s.T + time.Second/2; s.T >= begin && mid <= d.to {
			ts, vs = append(ts, mid), append(vs, get(s))
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

// band draws one stretch of a lane.
func (d *drawing) band(top float64, from, to time.Duration, s state) {
	from = max(from, d.from)
	if to <= from {
		return
	}
	x, w, h := d.x(from), d.x(to)-d.x(from), bandHeight*s.Level
	fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`,
		x, top+bandHeight-h, max(w, 1.5), h, s.Colour, escape(fmt.Sprintf("%s, %s to %s", s.Name, seconds(from), seconds(to))))
	if w < textWidth(s.Name, 11)+6 {
		return
	}
	if s.Level == 1 {
		d.text(x+w/2, top+bandHeight/2+4, "middle", s.Name, `font-size="11" font-weight="600" fill="#ffffff"`)
		return
	}
	d.text(x+w/2, top+bandHeight-h-3, "middle", s.Name, `font-size="10" fill-opacity="0.8"`)
}

// axis draws the time below everything.
func (d *drawing) axis() {
	d.y -= laneGap - 10
	step := niceStep((d.to - d.from).Seconds() / 10)
	for s := math.Ceil(d.from.Seconds()/step) * step; s <= d.to.Seconds(); s += step {
		x := d.x(time.Duration(s * float64(time.Second)))
		fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, x, x, d.y, d.y+5)
		anchor := "middle"
		if x > rightEdge-14 {
			anchor = "end"
		}
		d.text(x, d.y+18, anchor, fmt.Sprintf("%g s", s), `font-size="11" fill-opacity="0.75"`)
	}
	fmt.Fprintf(&d.body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, leftEdge, rightEdge, d.y, d.y)
	d.y += axisSpace
}

// shorten cuts to a number of runes.
func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most-1])) + "…"
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
