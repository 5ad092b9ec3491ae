package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"squall/runner/verdict"
)

// Compared is a run against another, with what is different.
type Compared struct {
	A, B Row
	verdict.Difference
}

// DifferenceText writes for a terminal what the second run did differently.
func DifferenceText(w io.Writer, c Compared, color bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range []Row{c.A, c.B} {
		h := r.Header
		fmt.Fprintf(t, "%c\t%s\t%s %s\tseed %d\t%s\t%s\n", 'A'+i, plain(h.Run), marks[r.Word()], r.Word(), h.Seed, withDefects(h.Defects), plain(r.Dir))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if c.A.Header.Seed == c.B.Header.Seed && c.A.Header.PlanHash != c.B.Header.PlanHash { // other seeds make other plans
		fmt.Fprintln(w, "the plans differ: it is not only the system that may have changed")
	}
	fmt.Fprintf(w, "\nassertions%s\n", changesText(c.Assertions, color))
	fmt.Fprintf(w, "\nmeasures, with intervals that hold together with 95%%; less than %s is no change\n", percent(c.Band))
	known := slices.DeleteFunc(slices.Clone(c.Measures), func(m verdict.Measure) bool { return m.Why != "" })
	order := []verdict.Effect{verdict.Worse, verdict.Better, verdict.Differs}
	slices.SortStableFunc(known, func(a, b verdict.Measure) int {
		return cmp.Compare(uint(slices.Index(order, a.Effect)), uint(slices.Index(order, b.Effect)))
	})
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range known {
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\t%s\n", effectMarks[m.Effect], m.Effect, m.Phase, plain(m.Name), quantity(m, m.From), quantity(m, m.To), changeText(m))
	}
	if n := len(c.Measures) - len(known); n > 0 {
		fmt.Fprintf(t, "and %d of which there was too little to compare\n", n)
	}
	return t.Flush()
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
		switch {
		case c.Was == c.Is:
			same++
		case c.Was == "":
			fmt.Fprintf(&b, "\n  new    %s: %s %s", plain(c.ID), c.Is, plain(c.To))
		case c.Is == "":
			fmt.Fprintf(&b, "\n  gone   %s: was %s %s", plain(c.ID), c.Was, plain(c.From))
		default:
			line := fmt.Sprintf("%s: %s %s -> %s %s", plain(c.ID), c.Was, plain(c.From), c.Is, plain(c.To))
			fmt.Fprintf(&b, "\n  %s", paint(marks[string(c.Is)]+" "+line, string(c.Is), color))
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

func changeText(m verdict.Measure) string {
	if m.Relative {
		return fmt.Sprintf("%.2f times (%.2f to %.2f)", m.Change, float64(m.Interval.Low), float64(m.Interval.High))
	}
	return fmt.Sprintf("%+.2f points (%+.2f to %+.2f)", 100*m.Change, 100*float64(m.Interval.Low), 100*float64(m.Interval.High))
}
