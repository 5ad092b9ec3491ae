package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"squall/runner/record"
)

const (
	minPauses   = 8                    // calls whose pauses are compared
	atOnce      = 5 * time.Millisecond // shorter is no pause, only the time that things take
	growth      = 1.25                 // times the pause before; doubling and adding lie beyond, noise does not
	spreadShare = 0.2                  // of the median
)

// pause is the time between the end of the nth attempt and the start of the
// next, from 0. Hedged attempts overlap and have none.
func (as attempts) pause(n int) (time.Duration, bool) {
	if n+1 >= len(as) {
		return 0, false
	}
	p := time.Duration(as[n+1].At - as[n].At - as[n].Dur)
	return p, p >= 0
}

// pauses are those before the second attempt of each call in order of time, and
// before the third where there is one.
func pauses(byCall []attempts) (first []time.Duration, grown [2][]float64) {
	byTime := slices.SortedFunc(slices.Values(byCall), func(a, b attempts) int { return cmp.Compare(a[0].At, b[0].At) })
	for _, as := range byTime {
		p, ok := as.pause(0)
		if !ok {
			continue
		}
		first = append(first, p)
		if q, ok := as.pause(1); ok {
			grown[0], grown[1] = append(grown[0], max(p, 1).Seconds()), append(grown[1], max(q, 1).Seconds()) // a ratio needs something to divide by
		}
	}
	return first, grown
}

func (r *retry) grows(byCall []attempts, lacks string) claim {
	c := claim{expected: "pauses that grow"}
	_, grown := pauses(byCall)
	if n := len(grown[0]); lacks == "" && n < minPauses {
		lacks = fmt.Sprintf("%s on %s had two pauses to compare, %d are needed", plural(n, "call"), r.Edge, minPauses)
	}
	if lacks != "" {
		return c.unless(lacks)
	}
	before, after := mean(grown[0]), mean(grown[1])
	c.measured = fmt.Sprintf("pauses of %s, then %s", seconds(before), seconds(after))
	if after < atOnce.Seconds() {
		c.verdict, c.why = Fail, fmt.Sprintf("calls on %s are repeated at once, %s after a failure and again %s after that", r.Edge, seconds(before), seconds(after))
		return c
	}
	times, in := ratioOfMeans(grown[0], grown[1], 0)
	c.measured += fmt.Sprintf(" (%s times, %s)", trimmed(times, 2), in.times())
	c.margin = against(times, growth)
	switch (bounds{{limit: growth, lower: true}}).decide(in) {
	case Pass:
		return c.unless("")
	case Fail:
		c.verdict, c.why = Fail, fmt.Sprintf("pauses between attempts on %s do not grow: %s, then %s", r.Edge, seconds(before), seconds(after))
		return c
	default:
		return c.unless(fmt.Sprintf("%s: not sure to grow by %s, more calls with three attempts would decide", c.measured, trimmed(growth, 2)))
	}
}

func (r *retry) spread(byCall []attempts, lacks string) claim {
	c := claim{expected: "pauses with jitter"}
	first, _ := pauses(byCall)
	if n := len(first); lacks == "" && n < minPauses {
		lacks = fmt.Sprintf("%s on %s had a pause, %d are needed", plural(n, "call"), r.Edge, minPauses)
	}
	if lacks != "" {
		return c.unless(lacks)
	}
	slices.Sort(first)
	at := func(q float64) time.Duration { return first[int(q*float64(len(first)-1)+0.5)] }
	low, median, high := at(0.1), at(0.5), at(0.9)
	c.measured = fmt.Sprintf("first pauses from %s to %s", short(low), short(high))
	share := float64(high-low) / float64(max(median, 1))
	switch {
	case median < atOnce:
		c.verdict, c.why = Fail, fmt.Sprintf("calls on %s are repeated at once, most within %s of a failure", r.Edge, short(high))
	case share < spreadShare:
		c.verdict, c.why = Fail, fmt.Sprintf("pauses on %s have no jitter: four fifths of them last %s to %s, so callers come back in step", r.Edge, short(low), short(high))
	default:
		c.verdict, c.margin = Pass, against(share, spreadShare)
	}
	return c
}

// isFinal: the same request would be refused again. 408, 425 and 429 ask for a
// repetition (RFC 9110, 15.5.9; RFC 8470; RFC 6585).
func isFinal(status int) bool {
	return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429
}

// final: one call that was repeated after a refusal is proof.
func (r *retry) final(byCall []attempts, least int, lacks string) claim {
	c := claim{expected: "no repetition of what was refused"}
	refused := 0
	for _, as := range byCall {
		i := slices.IndexFunc(as, func(x *record.Exchange) bool { return isFinal(x.Status) })
		if i < 0 {
			continue
		}
		refused++
		if _, repeated := as.pause(i); repeated && c.why == "" {
			c.why = fmt.Sprintf("%s was repeated on %s although the answer was %d", as[0].Op, r.Edge, as[i].Status)
		}
	}
	c.measured = plural(refused, "refusal")
	switch {
	case c.why != "":
		c.verdict = Fail
		return c
	case lacks == "" && refused < least:
		lacks = fmt.Sprintf("%s on %s, %d are needed", plural(refused, "refusal"), r.Edge, least)
	}
	return c.unless(lacks)
}

// keyed: one repetition without the key of the first attempt is proof.
func (r *retry) keyed(byCall []attempts, lacks string) claim {
	c := claim{expected: "one key for all attempts"}
	repeated := 0
	for _, as := range byCall {
		if len(as) < 2 || as[0].Method != "POST" && as[0].Method != "PATCH" {
			continue
		}
		repeated++
		other := slices.IndexFunc(as, func(x *record.Exchange) bool { return x.Key == "" || x.Key != as[0].Key })
		if other < 0 {
			continue
		}
		c.verdict, c.why = Fail, fmt.Sprintf("%s of %s was repeated on %s under another Idempotency-Key", as[0].Method, as[0].Op, r.Edge)
		if as[other].Key == "" {
			c.why = fmt.Sprintf("%s of %s was repeated on %s without an Idempotency-Key", as[0].Method, as[0].Op, r.Edge)
		}
		return c
	}
	c.measured = plural(repeated, "keyed call") + " repeated"
	if lacks == "" && repeated == 0 {
		lacks = "no POST or PATCH was repeated on " + r.Edge
	}
	return c.unless(lacks)
}
