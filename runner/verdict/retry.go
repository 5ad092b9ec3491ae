package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "retry",
		Summary: "Retries are bounded, spaced, and made only where they may be.",
		Doc: `Judged at the wire. Requests of one operation (X-Request-Id) with the same method and path on the edge are
attempts of one call, whichever instances they go between; amplification is attempts divided by calls. With per:
operation, all requests of an operation count together, which shows layers that multiply. Only what happens in the window counts.
A pause lies between the end of an attempt and the start of the next; below 5 ms it is none. Pauses grow where the second
are on average more than 1.25 times the first (interval by block bootstrap), and have jitter where the middle
four fifths of the first ones spread over at least a fifth of their median: callers that failed together then
come back apart. Final answers are 400 to 499 without 408, 425 and 429.
Too little evidence: fewer than 20 calls (final answers, for finalNotRepeated), no retry at all (unless expectNone), fewer than
8 calls with pauses to compare, requests without an operation id.`,
		Params:     retry{},
		MinSamples: 20,
		New:        newRetry,
	})
}

type retry struct {
	aimed `yaml:",inline"`

	Per                 string  `yaml:"per" spec:"default=call,enum=call|operation" doc:"What attempts are counted for: a call, or all that an operation of the load causes on the edge."`
	AttemptsAtMost      int     `yaml:"attemptsAtMost" spec:"min=0" doc:"Most attempts of one call; 0: not judged."`
	AmplificationAtMost float64 `yaml:"amplificationAtMost" spec:"min=0" doc:"Most attempts per call on average, 1 without retries; 0: not judged."`
	ExpectNone          bool    `yaml:"expectNone" doc:"No call may be retried at all."`
	SpacingGrows        bool    `yaml:"spacingGrows" doc:"The pause before a third attempt is longer than that before the second."`
	Jitter              bool    `yaml:"jitter" doc:"Pauses are spread, so that callers do not come back in step."`
	FinalNotRepeated    bool    `yaml:"finalNotRepeated" doc:"What was refused for good (4xx) is not asked again."`
	Keyed               bool    `yaml:"keyed" doc:"POST and PATCH are repeated only with an Idempotency-Key, the same for all attempts."`
}

func newRetry(d *Declared) Checker {
	r := &retry{}
	d.decode(r)
	r.resolve(d)
	ofCalls := r.SpacingGrows || r.Jitter || r.FinalNotRepeated || r.Keyed
	switch {
	case r.AttemptsAtMost == 0 && r.AmplificationAtMost == 0 && !r.ExpectNone && !ofCalls:
		d.fail("", "retry needs attemptsAtMost, amplificationAtMost, expectNone, spacingGrows, jitter, finalNotRepeated or keyed", "")
	case r.Per == "operation" && ofCalls:
		d.fail("per", "per: operation counts attempts only; spacingGrows, jitter, finalNotRepeated and keyed are about single calls", "")
	}
	if r.ExpectNone {
		r.AttemptsAtMost = 1
	}
	return r
}

// attempts of one call, by their start.
type attempts []*record.Exchange

func (r *retry) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = r.Edge
	byCall, total, anonymous := r.group(v.Run, *f.Window)
	f.Samples = len(byCall)
	lacks := ""
	switch {
	case anonymous > 0:
		lacks = fmt.Sprintf("%s on %s carry no X-Request-Id, so attempts cannot be told from calls", plural(anonymous, "request"), r.Edge)
	case f.Samples < f.MinSamples:
		lacks = fmt.Sprintf("%s on %s, %d are needed", plural(f.Samples, r.Per), r.Edge, f.MinSamples)
	}
	f.decide(r.claims(byCall, total, f.MinSamples, lacks))
	f.Details = bounded(r.details(v.Run, byCall))
	if len(byCall) > 0 && len(byCall[0]) > 1 { // the one with the most attempts
		f.Worst = new(v.Run.T(byCall[0][0].At))
	}
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
		if r.Per == "operation" {
			k = key{op: x.Op}
		}
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

// claims are the parts that the scenario demands. What the record lacks leaves
// open whatever a single call cannot disprove.
func (r *retry) claims(byCall []attempts, total, least int, lacks string) []claim {
	most, amplification := 0, 0.0
	if len(byCall) > 0 {
		most, amplification = len(byCall[0]), float64(total)/float64(len(byCall))
	}
	provoked := lacks
	if provoked == "" && most <= 1 {
		provoked = "no retry was provoked on " + r.Edge
	}
	var cs []claim
	if r.AttemptsAtMost > 0 {
		if r.ExpectNone {
			cs = append(cs, r.capped(most, lacks))
		} else {
			cs = append(cs, r.capped(most, provoked))
		}
	}
	cs = append(cs, r.amplified(amplification, len(byCall), provoked))
	if r.SpacingGrows {
		cs = append(cs, r.grows(byCall, provoked))
	}
	if r.Jitter {
		cs = append(cs, r.spread(byCall, provoked))
	}
	if r.FinalNotRepeated {
		cs = append(cs, r.final(byCall, least, lacks))
	}
	if r.Keyed {
		cs = append(cs, r.keyed(byCall, provoked))
	}
	return cs
}

// capped: one call beyond the cap is proof, whatever the rest.
func (r *retry) capped(most int, lacks string) claim {
	c := claim{expected: "at most " + plural(r.AttemptsAtMost, "attempt"), measured: plural(most, "attempt"),
		margin: against(float64(most), float64(r.AttemptsAtMost))}
	if r.ExpectNone {
		c.expected = "no retry"
	}
	if most > r.AttemptsAtMost {
		c.verdict, c.why = Fail, fmt.Sprintf("%s on %s was attempted %d times, at most %d are allowed", r.one(), r.Edge, most, r.AttemptsAtMost)
		return c
	}
	return c.unless(lacks)
}

// one is what attempts are counted for.
func (r *retry) one() string {
	if r.Per == "operation" {
		return "an operation"
	}
	return "a call"
}

// amplified says how many attempts there were per call, and judges it where a limit is set.
func (r *retry) amplified(amplification float64, n int, lacks string) claim {
	c := claim{verdict: Skipped, measured: fmt.Sprintf("amplification %s over %s", trimmed(amplification, 2), plural(n, r.Per))}
	limit := r.AmplificationAtMost
	if limit == 0 {
		return c
	}
	c.expected, c.margin = "amplification at most "+trimmed(limit, 2), against(amplification, limit)
	if amplification > limit+1e-9 && lacks == "" {
		c.verdict, c.why = Fail, fmt.Sprintf("%s carried %s attempts per %s, at most %s are allowed", r.Edge, trimmed(amplification, 2), r.Per, trimmed(limit, 2))
		return c
	}
	return c.unless(lacks)
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
