package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "retry",
		Summary: "Retries are bounded: attempts per call, and amplification of the whole edge.",
		Doc: `Judged at the wire. Requests of one operation (X-Request-Id) with the same method and path on the edge are
attempts of one call, whichever instances they go between; amplification is attempts divided by calls. Only what happens in the window counts.
Too little evidence: fewer than 20 calls, no retry at all (unless expectNone), requests without an operation id.`,
		Params:     retry{},
		MinSamples: 20,
		New:        newRetry,
	})
}

type retry struct {
	Edge                string  `yaml:"edge" spec:"required" doc:"Edge that is retried: orders -> payments."`
	Method              string  `yaml:"method" doc:"Only requests of this method."`
	Path                string  `yaml:"path" doc:"Only requests whose path matches; * within a segment, a trailing /** for any rest."`
	AttemptsAtMost      int     `yaml:"attemptsAtMost" spec:"min=0" doc:"Most attempts of one call; 0: not judged."`
	AmplificationAtMost float64 `yaml:"amplificationAtMost" spec:"min=0" doc:"Most attempts per call on average, 1 without retries; 0: not judged."`
	ExpectNone          bool    `yaml:"expectNone" doc:"No call may be retried at all."`

	links links
}

func newRetry(d Declared) (Checker, spec.Problems) {
	r := &retry{}
	if ps := d.decode(r); ps != nil {
		return nil, ps
	}
	var ps spec.Problems
	if r.links, ps = linksOf(d, "edge", r.Edge); ps != nil {
		return nil, ps
	}
	if r.AttemptsAtMost == 0 && r.AmplificationAtMost == 0 && !r.ExpectNone {
		return nil, d.problem("", "retry needs attemptsAtMost, amplificationAtMost or expectNone: true", "")
	}
	r.Edge, r.Method = r.links.name, strings.ToUpper(r.Method)
	if r.ExpectNone {
		r.AttemptsAtMost = 1
	}
	return r, nil
}

// attempts of one call, by their start.
type attempts []*record.Exchange

func (r *retry) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = r.Edge
	byCall, total, anonymous := r.group(v.Run, *f.Window)
	f.Samples = len(byCall)
	amplification := 0.0
	if len(byCall) > 0 {
		amplification = float64(total) / float64(len(byCall))
	}
	most := 0
	if len(byCall) > 0 {
		most = len(byCall[0])
	}
	f.decide(r.claims(most, amplification, f.Samples))
	f.Details = bounded(r.details(v.Run, byCall))
	switch {
	case most > r.AttemptsAtMost && r.AttemptsAtMost > 0: // one call beyond the cap is proof, whatever the rest
	case anonymous > 0:
		f.unclear(fmt.Sprintf("%s on %s carry no X-Request-Id, so attempts cannot be told from calls", plural(anonymous, "request"), r.Edge))
	case f.Samples < f.MinSamples:
		f.unclear(fmt.Sprintf("%s on %s, %d are needed", plural(f.Samples, "call"), r.Edge, f.MinSamples))
	case most <= 1 && !r.ExpectNone:
		f.unclear("no retry was provoked on " + r.Edge)
	}
}

func (r *retry) matches(x *record.Exchange) bool {
	return r.links.has(x.Edge) && x.Method != "" && (r.Method == "" || x.Method == r.Method) && matchPath(r.Path, x.Path)
}

// group returns the calls, the most attempted first, how many attempts they
// had together, and how many requests cannot be attributed.
func (r *retry) group(run *record.Run, w Window) (byCall []attempts, total, anonymous int) {
	type key struct{ op, method, path string }
	groups := map[key]attempts{}
	for i := range run.Exchanges {
		x := &run.Exchanges[i]
		if !r.matches(x) || !w.holds(run.T(x.At)) {
			continue
		}
		if x.Op == "" {
			anonymous++
			continue
		}
		k := key{x.Op, x.Method, x.Path}
		groups[k] = append(groups[k], x)
		total++
	}
	for _, as := range groups {
		slices.SortFunc(as, func(a, b *record.Exchange) int { return cmp.Compare(a.At, b.At) })
		byCall = append(byCall, as)
	}
	slices.SortFunc(byCall, func(a, b attempts) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a[0].At, b[0].At), cmp.Compare(a[0].Op, b[0].Op))
	})
	return byCall, total, anonymous
}

func (r *retry) claims(most int, amplification float64, n int) []claim {
	var cs []claim
	if r.AttemptsAtMost > 0 {
		c := claim{verdict: Pass, expected: "at most " + plural(r.AttemptsAtMost, "attempt"), measured: plural(most, "attempt"),
			margin: against(float64(most), float64(r.AttemptsAtMost))}
		if r.ExpectNone {
			c.expected = "no retry"
		}
		if most > r.AttemptsAtMost {
			c.verdict, c.why = Fail, fmt.Sprintf("a call on %s was attempted %d times, at most %d are allowed", r.Edge, most, r.AttemptsAtMost)
		}
		cs = append(cs, c)
	}
	measured := fmt.Sprintf("amplification %s over %s", trimmed(amplification, 2), plural(n, "call"))
	if limit := r.AmplificationAtMost; limit > 0 {
		c := claim{verdict: Pass, expected: "amplification at most " + trimmed(limit, 2), measured: measured, margin: against(amplification, limit)}
		if amplification > limit+1e-9 {
			c.verdict, c.why = Fail, fmt.Sprintf("%s carried %s attempts per call, at most %s are allowed", r.Edge, trimmed(amplification, 2), trimmed(limit, 2))
		}
		return append(cs, c)
	}
	cs[0].measured += ", " + measured
	return cs
}

// details lists the calls with retries: when, with which gaps, answered what by whom.
func (r *retry) details(run *record.Run, byCall []attempts) []string {
	var lines []string
	for _, as := range byCall {
		if len(as) < 2 {
			break
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s: %s %s at %s:", as[0].Op, as[0].Method, as[0].Path, short(run.T(as[0].At)))
		for i, x := range as {
			if i > 0 {
				fmt.Fprintf(&b, ", +%s", short(time.Duration(x.At-as[i-1].At)))
			}
			fmt.Fprintf(&b, " %s", r.reply(x))
			if i == 9 && len(as) > 10 {
				fmt.Fprintf(&b, " and %d more", len(as)-10)
				break
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}

// reply is what came back, and on an edge of several instances from whom.
func (r *retry) reply(x *record.Exchange) string {
	said := cmp.Or(x.Error, fmt.Sprint(x.Status))
	if _, callee := ends(x.Edge); len(r.links.of) > 1 {
		return callee + " " + said
	}
	return said
}
