package reports

import (
	"fmt"
	"html/template"
	"slices"

	"squall/runner/verdict"
)

// strip shows what each run measured, A above B: whether the sides are apart
// can be seen, not only read. Nothing without repeats.
func strip(m verdict.Measure) template.HTML {
	const width, height, pad = 150.0, 26.0, 6.0
	all := slices.Concat(m.FromRuns, m.ToRuns)
	if len(all) == 0 {
		return ""
	}
	lo, hi := slices.Min(all), slices.Max(all)
	x := func(v float64) float64 {
		if hi == lo {
			return width / 2
		}
		return pad + (width-2*pad)*(v-lo)/(hi-lo)
	}
	var p picture
	for _, v := range m.FromRuns {
		p.add(`<circle cx="%.1f" cy="8" r="3.5" fill="none" stroke="%s" stroke-width="1.5"/>`, x(v), blue)
	}
	for _, v := range m.ToRuns {
		p.add(`<circle cx="%.1f" cy="18" r="4" fill="%s"/>`, x(v), orange)
	}
	return p.whole(width, height, fmt.Sprintf("%s in %s, run by run: A %s to %s, B %s to %s", m.Name, m.Phase,
		quantity(m, slices.Min(m.FromRuns)), quantity(m, slices.Max(m.FromRuns)), quantity(m, slices.Min(m.ToRuns)), quantity(m, slices.Max(m.ToRuns))), "")
}
