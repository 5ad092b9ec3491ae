package verdict

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// scope resolves what the breaker is not to affect, and refuses demands that
// exclude each other.
func (b *breaker) scope(d *Declared) {
	opening := b.OpensWithin > 0 || b.OpensAfter > 0 || b.FailsFastUnder > 0 || b.TrialCallsAtMost > 0 || b.ClosesWithin > 0 || len(b.Others) > 0
	if b.StaysClosed && opening {
		d.fail("staysClosed", "staysClosed: a breaker that stays closed neither opens nor closes; it goes with edge alone", "")
	}
	for _, name := range b.Others {
		other := linksOf(d, "others", name)
		if len(other.of) > 0 && len(b.links.of) > 0 && (other.name == b.links.name || !slices.Equal(other.callers(), b.links.callers())) {
			d.fail("others", "others: "+other.name+" is no other edge of the caller of "+b.links.name, "")
		}
		b.others = append(b.others, other)
	}
}

// soon judges how many calls it took to open. Those that were under way when
// it opened count too: they are the price of a slow failure.
func (b *breaker) soon(w *watch, opened time.Duration) claim {
	if b.OpensAfter == 0 {
		return claim{}
	}
	most, caller := 0, ""
	for _, instance := range slices.Sorted(maps.Keys(w.byCaller)) {
		if n := len(w.byCaller[instance].in(Window{w.injected, opened})); n > most {
			most, caller = n, instance
		}
	}
	c := claim{verdict: Pass, measured: "after " + plural(most, "call"), margin: against(float64(most), float64(b.OpensAfter)), worst: &opened}
	if most > b.OpensAfter {
		c.verdict = Fail
		c.why = fmt.Sprintf("%s made %d calls on %s until its breaker was open, at most %d are allowed", caller, most, b.Edge, b.OpensAfter)
	}
	return c
}

// leavesAlone judges another edge of the same caller while this one is open.
func (b *breaker) leavesAlone(v *View, w *watch, other links, opened time.Duration) claim {
	span := Window{opened, w.until()}
	if span.length() < wireSpan {
		return claim{verdict: Inconclusive, pending: w.live && !w.isReverted,
			why: fmt.Sprintf("the breaker on %s was open for %s only, too short to look at %s", b.Edge, short(span.length()), other.name)}
	}
	all := requests(v.Run, other.has)
	usual := w.demandRate
	if len(all.in(w.baseline)) >= minBaseline {
		usual = all.rate(w.baseline)
	}
	share := all.rate(span) / usual
	c := claim{verdict: Pass, measured: fmt.Sprintf("%s at %s of its rate", other.name, percent(share)), worst: &opened}
	if share < flowingShare {
		c.verdict = Fail
		c.why = fmt.Sprintf("while the breaker on %s was open, %s carried only %s of what it should: they share a breaker", b.Edge, other.name, percent(share))
	}
	return c
}

// staysClosed judges a fault that is no reason to open.
func (b *breaker) staysClosed(w *watch, least int, opened time.Duration, isOpen bool) claim {
	c := claim{measured: plural(w.hit, "call") + " hit, never open", pending: w.live && !w.isReverted && !isOpen}
	switch {
	case isOpen:
		c.verdict, c.measured = Fail, "opened after "+short(opened-w.injected)
		c.worst = &opened
		c.why = fmt.Sprintf("the breaker on %s opened %s after the injection, on answers that are no failures", b.Edge, short(opened-w.injected))
		return c
	case w.hit < least:
		return c.unless(fmt.Sprintf("%s on %s were hit by the fault, %d are needed", plural(w.hit, "call"), b.Edge, least))
	case w.sawNoDemand || w.sawStuckWhile:
		return c.unless(b.Edge + " fell silent, and so did what its caller is asked or answers")
	}
	return c.unless("")
}
