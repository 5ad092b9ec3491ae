package reports

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"squall/runner/verdict"
)

// spark is what an assertion judged over time, as a small line with a dot where
// it was worst; nothing for one that passed or has no values.
func spark(f verdict.Finding) template.HTML {
	const width, height, pad = 220.0, 36.0, 5.0
	if f.Verdict == verdict.Pass || len(f.Series) < 3 {
		return ""
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range f.Series {
		if !math.IsNaN(p.V) && !math.IsInf(p.V, 0) {
			lo, hi = min(lo, p.V), max(hi, p.V)
		}
	}
	if hi <= lo {
		return ""
	}
	from, to := f.Series[0].T, f.Series[len(f.Series)-1].T
	var p picture
	var path strings.Builder
	for i, v := range f.Series {
		if math.IsNaN(v.V) || math.IsInf(v.V, 0) {
			continue
		}
		x := pad + (width-2*pad)*float64(v.T-from)/float64(max(1, to-from))
		y := height - pad - (height-2*pad)*(v.V-lo)/(hi-lo)
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0 || path.Len() == 0], x, y)
		if f.Worst != nil && v.T == *f.Worst {
			p.add(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, x, y, red)
		}
	}
	p.add(`<path d="%s" fill="none" stroke="currentColor" stroke-width="1.5"/>`, path.String())
	return p.whole(width, height, fmt.Sprintf("%s over time, from %.4g to %.4g", f.ID, lo, hi), "")
}
