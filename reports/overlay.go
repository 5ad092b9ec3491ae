package reports

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"time"

	"squall/runner/record"
	"squall/runner/verdict"
)

var compareTemplate = parse("compare")

// CompareHTML writes the page of two sides, of one run each or of several: what
// changed, and all on one axis, which begins for each run with its first fault.
func CompareHTML(w io.Writer, a, b []Input, d verdict.Difference) error {
	known := slices.DeleteFunc(slices.Clone(d.Measures), func(m verdict.Measure) bool { return m.Why != "" })
	slices.SortStableFunc(known, func(a, b verdict.Measure) int { return effectRank(a.Effect) - effectRank(b.Effect) })
	changes := slices.Clone(d.Assertions)
	slices.SortStableFunc(changes, func(a, b verdict.Change) int { return cmp.Compare(changeRank(a), changeRank(b)) })
	type side struct {
		Letter, Word string
		Row
	}
	var sides []side
	for i, ins := range [][]Input{a, b} {
		for n := range ins {
			ins[n].Digest = ins[n].digest()
			sides = append(sides, side{letter(string(rune('A'+i)), n, len(ins)), Word(ins[n].Result), RowOf(ins[n])})
		}
	}
	word := "pass"
	if d.Worse() {
		word = "fail"
	}
	return render(w, compareTemplate, map[string]any{
		"Sides": sides, "Titles": []string{b[0].Run.Header.Run, a[0].Run.Header.Run}, "Repeats": repeats(d),
		"Word": word, "Worse": d.Worse(), "Changes": changes, "Measures": known, "Little": tooLittle(d.Measures), "Band": d.Band,
		"Overlay": overlay(a, b), "Sentence": differenceSentence(d), "Scatter": scatterText(d),
		"OtherPlan": otherPlan(a[0].Run.Header, b[0].Run.Header),
	})
}

// changeRank puts what broke first and what is as before last.
func changeRank(c verdict.Change) int {
	switch {
	case c.Worse():
		return 0
	case c.Was != c.Is:
		return 1
	}
	return 2
}

// effectRank puts what is worse first and what is the same last.
func effectRank(e verdict.Effect) int {
	return slices.Index([]verdict.Effect{verdict.Worse, verdict.Better, verdict.Differs, verdict.Unclear, verdict.Same}, e)
}

// differenceSentence says in one sentence what B did differently.
func differenceSentence(d verdict.Difference) string {
	counts := map[verdict.Effect]int{}
	for _, m := range d.Measures {
		if m.Why == "" {
			counts[m.Effect]++
		}
	}
	broken := 0
	for _, c := range d.Assertions {
		if c.Worse() {
			broken++
		}
	}
	whose := "run B"
	if repeats(d) {
		whose = fmt.Sprintf("the %s of B", count(float64(d.Runs[1]), "run"))
	}
	return fmt.Sprintf("Against A, "+whose+" broke %s that held; of %s %d are worse, %d better, %d different, %d the same and %d unclear.",
		count(float64(broken), "assertion"), count(float64(counts[verdict.Worse]+counts[verdict.Better]+counts[verdict.Differs]+counts[verdict.Same]+counts[verdict.Unclear]), "measure"),
		counts[verdict.Worse], counts[verdict.Better], counts[verdict.Differs], counts[verdict.Same], counts[verdict.Unclear])
}

// curve is one run on the axis of all: zero is its first fault.
type curve struct {
	Input
	zero time.Duration
	line stroke
}

func curves(a, b []Input) (out []curve) {
	for i, ins := range [][]Input{a, b} {
		for _, in := range ins {
			line := []stroke{{"A", blue, "6 3"}, {"B", orange, ""}}[i]
			out = append(out, curve{in, firstFault(in), line})
		}
	}
	return out
}

func firstFault(in Input) time.Duration {
	for _, f := range in.Run.Faults {
		if f.State == record.FaultInjected {
			return f.T
		}
	}
	if p, found := in.Run.Phase("fault"); found {
		return p.From
	}
	return 0
}

// overlay draws what the clients of all runs saw.
func overlay(a, b []Input) template.HTML {
	all := curves(a, b)
	var from, to time.Duration
	for _, c := range all {
		from, to = min(from, -c.zero), max(to, c.Run.Last-c.zero)
	}
	if to <= from {
		return ""
	}
	x := func(t time.Duration) float64 {
		return leftEdge + (rightEdge-leftEdge)*float64(t-from)/float64(to-from)
	}
	var p picture
	y := 6.0
	lane := func(name string, height float64, get func(*Digest, bucket) float64, log bool, label func(float64) string) {
		lo, hi := math.Inf(1), math.Inf(-1)
		each := func(c curve, do func(t time.Duration, v float64)) {
			for _, bk := range c.Digest.Buckets {
				if bk.T+c.Digest.Step > c.Digest.Begin {
					do(bk.T+c.Digest.Step/2-c.zero, get(c.Digest, bk))
				}
			}
		}
		for _, c := range all {
			each(c, func(_ time.Duration, v float64) {
				if !math.IsNaN(v) && (v > 0 || !log) {
					lo, hi = min(lo, v), max(hi, v)
				}
			})
		}
		pos := func(v float64) float64 { return v / niceCeil(hi) }
		ticks := []float64{0, niceCeil(hi)}
		if log {
			if math.IsInf(lo, 1) {
				lo, hi = 0.001, 1
			}
			from, to := math.Floor(math.Log10(lo)), math.Ceil(math.Log10(hi))
			to = max(to, from+1)
			pos = func(v float64) float64 { return (math.Log10(v) - from) / (to - from) }
			ticks = nil
			for e := from; e <= to; e++ {
				ticks = append(ticks, math.Pow(10, e))
			}
		}
		p.text(0, y+11, "start", name, `font-weight="600"`)
		for _, v := range ticks {
			ty := y + height - height*pos(v)
			p.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.13"/>`, leftEdge, rightEdge, ty, ty)
			p.text(leftEdge-8, ty+4, "end", label(v), `fill-opacity="0.7" font-size="11"`)
		}
		for _, c := range all {
			path, gap := "", true
			each(c, func(t time.Duration, v float64) {
				if math.IsNaN(v) || log && v <= 0 {
					gap = true
					return
				}
				path += fmt.Sprintf("%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[gap], x(t), y+height-height*pos(v))
				gap = false
			})
			p.add(`<path d="%s" fill="none" stroke-width="%.1f" stroke-linejoin="round" %s/>`, path, 0.8+1/float64(max(len(a), len(b))), c.line.attributes())
		}
		for i, c := range []curve{all[0], all[len(all)-1]} {
			p.add(`<line x1="0" x2="22" y1="%.1f" y2="%.1f" stroke-width="2.4" %s/>`, y+24+float64(i)*16, y+24+float64(i)*16, c.line.attributes())
			p.text(28, y+28+float64(i)*16, "start", c.line.Name, `fill-opacity="0.85" font-size="11"`)
		}
		y += height + laneGap
	}
	lane("Ok per second", 80, func(d *Digest, b bucket) float64 { return float64(b.OK) / d.Step.Seconds() }, false, func(v float64) string { return fmt.Sprintf("%g", v) })
	lane("Not ok", 60, func(_ *Digest, b bucket) float64 { return share(b.all()-b.OK, b.all()) }, false, func(v float64) string { return percent(v) })
	lane("Latency of ok: 95th percentile", 90, func(_ *Digest, b bucket) float64 { return float64(b.P95) }, true, latency[float64])
	lane("Retries per second", 50, func(d *Digest, b bucket) float64 { return float64(b.Retries) / d.Step.Seconds() }, false, func(v float64) string { return fmt.Sprintf("%g", v) })
	step := niceStep((to - from).Seconds() / 10)
	for s := math.Ceil(from.Seconds()/step) * step; s <= to.Seconds(); s += step {
		at := x(time.Duration(s * float64(time.Second)))
		p.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.5"/>`, at, at, y-10, y-5)
		p.text(at, y+8, "middle", fmt.Sprintf("%+g s", s), `font-size="11" fill-opacity="0.75"`)
	}
	p.add(`<line x1="%.1f" x2="%.1f" y1="0" y2="%.1f" stroke="%s" stroke-dasharray="3 3"/>`, x(0), x(0), y-10, red)
	return p.whole(svgWidth, y+14, "Both runs on one axis, which begins with the first fault of each", "")
}
