package verdict

import (
	"cmp"
	"strings"
	"time"
)

// claim is one part of what a check asserts, with what was measured of it.
type claim struct {
	expected string
	measured string
	margin   string
	verdict  Verdict
	why      string
	worst    *time.Duration // instant of what was measured, where it is of one instant
	pending  bool
}

// unless passes the claim, or leaves it open for what the record lacks.
func (c claim) unless(lacks string) claim {
	c.verdict = Pass
	if lacks != "" {
		c.verdict, c.why = Inconclusive, lacks
	}
	return c
}

// rank orders verdicts by how bad they are; design section 1, law 2.
func rank(v Verdict) int {
	switch v {
	case Error:
		return 5
	case Fail:
		return 4
	case Aborted:
		return 3
	case Inconclusive:
		return 2
	case Pass:
		return 1
	default:
		return 0
	}
}

// decide turns claims into the finding: the worst one gives verdict, cause and
// margin, and the worst instant if it has any; it is pending while any of them is.
func (f *Finding) decide(claims []claim) {
	var expected, measured []string
	worst := claim{verdict: Skipped}
	for _, c := range claims {
		expected = appendText(expected, c.expected)
		measured = appendText(measured, c.measured)
		f.Pending, f.Worst = f.Pending || c.pending, cmp.Or(f.Worst, c.worst)
		if rank(c.verdict) > rank(worst.verdict) {
			worst = c
		}
	}
	f.Expected, f.Measured = strings.Join(expected, ", "), strings.Join(measured, ", ")
	f.Verdict, f.Why, f.Margin = worst.verdict, cmp.Or(worst.why, f.Measured), worst.margin
	f.Worst = cmp.Or(worst.worst, f.Worst)
}

func appendText(to []string, s string) []string {
	if s == "" {
		return to
	}
	return append(to, s)
}

// unclear ends a finding for want of evidence.
func (f *Finding) unclear(why string) { f.Verdict, f.Why = Inconclusive, why }

// broken ends a finding because judging it failed.
func (f *Finding) broken(err error) { f.Verdict, f.Why = Error, err.Error() }
