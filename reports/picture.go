package reports

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"unicode/utf8"
)

// picture collects the elements of an SVG. They have presentation attributes
// only, so that a picture is readable where scripts and styles are forbidden.
type picture struct{ b strings.Builder }

func (p *picture) add(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

func (p *picture) text(x, y float64, anchor, s, more string) {
	p.add(`<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`, x, y, anchor, more, escape(s))
}

// whole is the picture in its own width in pixels: on a narrow page it scrolls
// instead of becoming illegible. Every text in it must have gone through escape.
func (p *picture) whole(width, height float64, title, more string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s" font-family="system-ui, sans-serif" font-size="12" fill="currentColor"%s>`,
		width, height, width, height, escape(title), more) + p.b.String() + `</svg>`)
}

func escape(s string) string { return html.EscapeString(plain(s)) }

// svgWidth is the width of all pictures.
const svgWidth = 1120.0

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

// halo keeps text readable where it crosses a line.
const halo = `stroke="Canvas" stroke-width="3" stroke-linejoin="round" paint-order="stroke"`

// textWidth guesses, generously, for want of font metrics.
func textWidth(s string, size float64) float64 {
	return 0.58 * size * float64(utf8.RuneCountInString(s))
}

// shorten cuts to a number of runes.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most-1])) + "…"
	}
	return s
}

// niceCeil is the next round number that is not below v.
func niceCeil(v float64) float64 {
	if v <= 0 {
		return 1
	}
	return nice(v, 1, 1.5, 2, 3, 4, 5, 6, 8, 10)
}

// niceStep is the next of 1, 2, 5, 10, 20, ... that is not below v.
func niceStep(v float64) float64 { return nice(v, 1, 2, 5, 10) }

func nice(v float64, multiples ...float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range multiples {
		if v <= m*base*(1+1e-9) {
			return m * base
		}
	}
	return 10 * base
}
