package reports

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"squall/runner/record"
	"squall/runner/verdict"
)

// Compared are the runs of two sides, with what is different.
type Compared struct {
	A, B []Row
	verdict.Difference
}

// letter names a run: A, or A2 where its side has several.
func letter(side string, n, of int) string {
	if of == 1 {
		return side
	}
	return fmt.Sprintf("%s%d", side, n+1)
}

// DifferenceText writes for a terminal what the second side did differently.
func DifferenceText(w io.Writer, c Compared, color bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, rows := range [][]Row{c.A, c.B} {
		for n, r := range rows {
			h := r.Header
			fmt.Fprintf(t, "%s\t%s\t%s %s\tseed %d\t%s\t%s\n", letter(string(rune('A'+i)), n, len(rows)), plain(h.Run), marks[r.Word()], r.Word(), h.Seed, withDefects(h.Defects), plain(r.Dir))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if otherPlan(c.A[0].Header, c.B[0].Header) {
		fmt.Fprintln(w, "the plans differ: it is not only the system that may have changed")
	}
	fmt.Fprintf(w, "\nassertions%s\n", changesText(c.Assertions, color))
	fmt.Fprintf(w, "\nmeasures, with intervals that hold together with 95%%%s; less than %s is no change\n", scatterText(c.Difference), percent(c.Band))
	known := slices.DeleteFunc(slices.Clone(c.Measures), func(m verdict.Measure) bool { return m.Why != "" })
	order := []verdict.Effect{verdict.Worse, verdict.Better, verdict.Differs}
	slices.SortStableFunc(known, func(a, b verdict.Measure) int {
		return cmp.Compare(uint(slices.Index(order, a.Effect)), uint(slices.Index(order, b.Effect)))
	})
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range known {
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\t%s\n", effectMarks[m.Effect], m.Effect, m.Phase, plain(m.Name), quantity(m, m.From), quantity(m, m.To), changeText(m))
	}
	for _, why := range tooLittle(c.Measures) {
		fmt.Fprintln(t, "and "+why)
	}
	return t.Flush()
}

// otherPlan: the same seed gives the same plan of the same files.
func otherPlan(a, b record.Header) bool { return a.Seed == b.Seed && a.PlanHash != b.PlanHash }

// repeats reports whether there are several runs on a side.
func repeats(d verdict.Difference) bool { return d.Runs != [2]int{1, 1} }

func scatterText(d verdict.Difference) string {
	if !repeats(d) {
		return ""
	}
	return fmt.Sprintf(" and count what differs between %d and %d runs as chance", d.Runs[0], d.Runs[1])
}

// tooLittle says of how many measures there was not enough, for each reason.
func tooLittle(all []verdict.Measure) (out []string) {
	reasons := map[string]int{}
	for _, m := range all {
		if m.Why != "" {
			reasons[m.Why]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, fmt.Sprintf("%s without a comparison: %s", count(float64(reasons[why]), "measure"), why))
	}
	return out
}

// keptText says how often an assertion held over repeats, and what that shows.
func keptText(k *verdict.Kept) string {
	if k == nil {
		return ""
	}
	s := fmt.Sprintf("held in %d of %d, then in %d of %d", k.Held[0], k.Runs[0], k.Held[1], k.Runs[1])
	if k.P == 1 && k.Held[0]*k.Runs[1] == k.Held[1]*k.Runs[0] {
		return s
	}
	s += fmt.Sprintf(" (p %.2g", k.P)
	switch {
	case k.Sure:
		s += ": more than chance"
	case k.Needed > 0:
		s += fmt.Sprintf(": too few repeats to exclude chance, %d each could", k.Needed)
	default:
		s += ": may be chance"
	}
	return s + ")"
}

// effectMarks tell effects apart without colour.
var effectMarks = map[verdict.Effect]string{
	verdict.Worse: marks["fail"], verdict.Better: marks["pass"], verdict.Unclear: marks["inconclusive"], verdict.Differs: marks["aborted"], verdict.Same: "=",
}

func withDefects(defects []string) string {
	if len(defects) == 0 {
		return ""
	}
	return plain("defects " + strings.Join(defects, ","))
}

// changesText lists the assertions whose verdict changed and counts the others.
func changesText(all []verdict.Change, color bool) string {
	var b strings.Builder
	same := 0
	for _, c := range all {
		uneven := c.Kept != nil && c.Kept.Held[0]*c.Kept.Runs[1] != c.Kept.Held[1]*c.Kept.Runs[0]
		switch {
		case c.Was == c.Is && !uneven:
			same++
		case c.Was == "":
			fmt.Fprintf(&b, "\n  new    %s: %s %s", plain(c.ID), c.Is, plain(c.To))
		case c.Is == "":
			fmt.Fprintf(&b, "\n  gone   %s: was %s %s", plain(c.ID), c.Was, plain(c.From))
		default:
			line := fmt.Sprintf("%s: %s %s -> %s %s", plain(c.ID), c.Was, plain(c.From), c.Is, plain(c.To))
			fmt.Fprintf(&b, "\n  %s", paint(marks[string(c.Is)]+" "+line, string(c.Is), color))
			if c.Kept != nil {
				fmt.Fprintf(&b, "\n    %s", keptText(c.Kept))
			}
		}
	}
	return fmt.Sprintf("%s\n  %d as before", b.String(), same)
}

// quantity prints a mean as people read it.
func quantity(m verdict.Measure, v float64) string {
	switch {
	case m.Unit == "seconds":
		return latency(v)
	case m.Unit == "share":
		return percent(v)
	case m.Unit == "per second":
		return fmt.Sprintf("%.1f/s", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// tooWide is how many times its lower end the upper end of an interval may be
// until its numbers say nothing to people.
const tooWide = 100

func changeText(m verdict.Measure) string {
	if low, high := float64(m.Interval.Low), float64(m.Interval.High); m.Relative && high > tooWide*low {
		return fmt.Sprintf("%.2f times, not known to within a factor of %d", m.Change, tooWide)
	}
	if m.Relative {
		return fmt.Sprintf("%.2f times (%.2f to %.2f)", m.Change, float64(m.Interval.Low), float64(m.Interval.High))
	}
	return fmt.Sprintf("%+.2f points (%+.2f to %+.2f)", 100*m.Change, 100*float64(m.Interval.Low), 100*float64(m.Interval.High))
}
