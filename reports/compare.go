package reports

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"squall/runner/verdict"
)

// compareRow is one measure over the phases, with its change against the first.
type compareRow struct {
	Name  string
	Cells []compareCell
}

type compareCell struct{ Value, Change string }

func compare(ps []phaseStats, res verdict.Result) []compareRow {
	measure := func(name string, get func(phaseStats) float64, show func(float64) string, change func(from, to float64) string) compareRow {
		r := compareRow{Name: name}
		for i, p := range ps {
			c := compareCell{Value: show(get(p))}
			if i > 0 {
				c.Change = change(get(ps[0]), get(p))
			}
			r.Cells = append(r.Cells, c)
		}
		return r
	}
	length := compareRow{Name: "length"}
	for _, p := range ps {
		length.Cells = append(length.Cells, compareCell{Value: seconds(p.Length)})
	}
	rate := func(v float64) string { return fmt.Sprintf("%.1f/s", v) }
	count := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	rows := []compareRow{
		length,
		measure("operations", phaseStats.rate, rate, ratio),
		measure("ok", phaseStats.success, percent, points),
		measure("failed", func(p phaseStats) float64 { return float64(p.Failed) }, count, none),
		measure("unknown", func(p phaseStats) float64 { return float64(p.Unknown) }, count, none),
		measure("median", func(p phaseStats) float64 { return float64(p.P50) }, latency[float64], ratio),
		measure("95th percentile", func(p phaseStats) float64 { return float64(p.P95) }, latency[float64], ratio),
		measure("99th percentile", func(p phaseStats) float64 { return float64(p.P99) }, latency[float64], ratio),
		measure("95th percentile, ok or not", func(p phaseStats) float64 { return float64(p.Waited) }, latency[float64], ratio),
	}
	return append(rows, reactions(ps, res)...)
}

func none(_, _ float64) string { return "" }

// points is the difference of two shares.
func points(from, to float64) string {
	switch {
	case math.IsNaN(from) || math.IsNaN(to):
		return ""
	case from == to:
		return "="
	default:
		return fmt.Sprintf("%+.3g points", (to-from)*100)
	}
}

// ratio is the change relative to the baseline.
func ratio(from, to float64) string {
	if math.IsNaN(from) || math.IsNaN(to) || from == 0 {
		return ""
	}
	switch r := to / from; {
	case math.Abs(r-1) < 0.005:
		return "="
	case r >= 2:
		return fmt.Sprintf("×%.1f", r)
	default:
		return fmt.Sprintf("%+.0f%%", (r-1)*100)
	}
}

// reaction is how findings say in Measured when the system noticed a fault and
// when it was well again.
var reaction = regexp.MustCompile(`(detected|opened|closed|recovered) after ([0-9][0-9.a-zµ]*)|(never|not) (detected|opened|closed|recovered)( yet)?`)

// reactions are the times to detect, open, close and recover that breaker and
// recovery findings hold, each in the phase it belongs to.
func reactions(ps []phaseStats, res verdict.Result) (rows []compareRow) {
	for _, f := range res.Findings {
		if f.Kind != "breaker" && f.Kind != "recovery" {
			continue
		}
		for _, m := range reaction.FindAllStringSubmatch(f.Measured, -1) {
			what, value := m[1], "after "+m[2]
			if m[2] == "0s" {
				value = "at once"
			}
			if what == "" {
				what, value = m[4], m[0]
			}
			phase := "fault"
			if what == "closed" || what == "recovered" {
				phase = "recovery"
			}
			name := what + " (" + f.ID + ")"
			if f.Edge != "" {
				name = strings.TrimSpace("breaker " + what + " on " + f.Edge)
			}
			r := compareRow{Name: name, Cells: make([]compareCell, len(ps))}
			for i, p := range ps {
				if p.Name == phase {
					r.Cells[i].Value = value
				}
			}
			reached := slices.ContainsFunc(r.Cells, func(c compareCell) bool { return c.Value != "" })
			if reached && !slices.ContainsFunc(rows, func(x compareRow) bool { return x.Name == r.Name && slices.Equal(x.Cells, r.Cells) }) {
				rows = append(rows, r) // two assertions may look at one breaker
			}
		}
	}
	return rows
}
