package verdict

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// Thresholds of what an open breaker looks like from outside.
const (
	wireSpan       = time.Second            // rates are taken over this
	silentShare    = 0.15                   // of the baseline rate: less is silence, room for trial calls
	flowingShare   = 0.5                    // of the baseline rate: more is traffic
	burstGap       = 400 * time.Millisecond // calls closer than this are one burst
	minBaseline    = 20                     // calls
	failFastSample = 20                     // answers
)

func init() {
	builtin(Kind{
		Name:    "breaker",
		Summary: "A circuit breaker opens under the fault, tries carefully, and closes after it.",
		Doc: `Judged at the wire, whatever library the breaker is from. The edge counts as open from the
first instant after the injection at which it carries less than 15 % of its baseline rate for one second
while the caller is still asked and still answers. A caller that is stuck is not open. While open, calls closer
than 400 ms are one burst of trial calls. Closed means: half the baseline rate again, over one second.
On an edge of several instances the breakers are judged together; bursts are those of one caller, since each has
a breaker of its own. opensAfter counts the calls that one of them begins between injection and open. Others are edges of
the same caller that must go on, at half of their baseline rate at least, or of the caller's where they are a fallback
that carried nothing before. With staysClosed the edge must never count as open under the fault.
Too little evidence: fewer than 20 calls in the baseline, an edge that falls silent by itself, no demand, and
net-down on the edge, because refused dials leave no trace at the wire.`,
		Params:     breaker{},
		Fixed:      true,
		During:     "run",
		MinSamples: minBaseline,
		New:        newBreaker,
	})
}

type breaker struct {
	Edge             string        `yaml:"edge" spec:"required" doc:"Edge behind the breaker: payments -> psp-primary."`
	OpensWithin      spec.Duration `yaml:"opensWithin" doc:"Longest time from injection to open; absent: before the fault is gone."`
	FailsFastUnder   spec.Duration `yaml:"failsFastUnder" doc:"While it is open, 95 % of the answers of the caller come faster than this."`
	OpensAfter       int           `yaml:"opensAfter" spec:"min=0" doc:"Most calls of one instance from the injection until it is open; 0: not judged."`
	TrialCallsAtMost int           `yaml:"trialCallsAtMost" spec:"min=0" doc:"Largest burst of calls of one instance while it is open; 0: not judged."`
	ClosesWithin     spec.Duration `yaml:"closesWithin" doc:"Longest time from the fault's end to traffic; absent: not judged."`
	Others           []string      `yaml:"others" doc:"Edges of the same caller that carry on while this one is open: its breaker is not theirs."`
	StaysClosed      bool          `yaml:"staysClosed" doc:"Instead: the fault is none that may open a breaker, such as refusals."`

	links  links
	others []links
}

func newBreaker(d *Declared) Checker {
	b := &breaker{}
	d.decode(b)
	b.links = linksOf(d, "edge", b.Edge)
	b.Edge = b.links.name
	b.scope(d)
	if b.ClosesWithin > 0 {
		tooShort(d, "closesWithin", time.Duration(b.ClosesWithin)+wireSpan)
	}
	return b
}

// watch is the wire around one edge, and when the fault stood there.
type watch struct {
	edge     calls
	byCaller map[string]calls // the same, by the instance that calls
	demand   calls            // what the callers are asked

	hit                        int // calls on the edge that a fault affected
	baseline                   Window
	edgeRate, demandRate       float64
	injected, reverted         time.Duration
	isInjected, isReverted     bool
	now                        time.Duration
	live                       bool
	sawNoDemand, sawStuckWhile bool // why silence was not taken for open
}

func (b *breaker) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge, f.Expected = b.Edge, b.expected()
	w, why := b.watch(v, f)
	if why != "" {
		f.unclear(why)
		f.Pending = v.Live() && !w.isInjected
		return
	}
	opened, isOpen := w.opened()
	var claims []claim
	switch {
	case b.StaysClosed:
		claims = append(claims, b.staysClosed(w, f.MinSamples, opened, isOpen))
	case isOpen:
		claims = append(claims, b.opens(w, opened, isOpen), b.soon(w, opened), b.failsFast(w, opened), b.trials(w, opened))
		for _, other := range b.others {
			claims = append(claims, b.leavesAlone(v, w, other, opened))
		}
		claims = append(claims, b.closes(w))
	default:
		claims = append(claims, b.opens(w, opened, isOpen))
	}
	f.decide(slices.DeleteFunc(claims, func(c claim) bool { return c.verdict == "" }))
	f.Expected = b.expected()
}

func (b *breaker) expected() string {
	s := "opens before the fault is gone"
	if b.StaysClosed {
		s = "stays closed"
	}
	if b.OpensWithin > 0 {
		s = "opens within " + short(time.Duration(b.OpensWithin))
	}
	if b.OpensAfter > 0 {
		s += " after at most " + plural(b.OpensAfter, "call")
	}
	if b.FailsFastUnder > 0 {
		s += ", then answers in under " + short(time.Duration(b.FailsFastUnder))
	}
	if b.TrialCallsAtMost > 0 {
		s += fmt.Sprintf(", at most %s at a time", plural(b.TrialCallsAtMost, "trial call"))
	}
	if len(b.Others) > 0 {
		s += ", leaves " + strings.Join(b.Others, " and ") + " alone"
	}
	if b.ClosesWithin > 0 {
		s += ", closes within " + short(time.Duration(b.ClosesWithin))
	}
	return s
}

// watch gathers what is needed, or says what is missing.
func (b *breaker) watch(v *View, f *Finding) (*watch, string) {
	now := v.Now
	if w, open, found := v.phase("recovery"); found && !open {
		now = min(now, w.To) // the load ends there
	}
	w := &watch{
		edge:     requests(v.Run, b.links.has),
		byCaller: map[string]calls{},
		demand:   demandOn(v.Run, b.links),
		now:      now,
		live:     v.Live(),
	}
	for _, instance := range b.links.callers() {
		w.byCaller[instance] = requests(v.Run, func(e string) bool {
			caller, _ := ends(e)
			return caller == instance && b.links.has(e)
		})
	}
	w.hit = len(exchanges(v.Run, func(x *record.Exchange) bool { return b.links.has(x.Edge) && x.Fault != "" }))
	onEdge := b.links.hitBy
	if _, found := firstState(v.Run, record.FaultInjected, onEdge); !found {
		onEdge = anyFault // a breaker may also trip on a fault further away
	}
	w.injected, w.isInjected = firstState(v.Run, record.FaultInjected, onEdge)
	w.reverted, w.isReverted = lastState(v.Run, record.FaultReverted, onEdge)
	base, _, found := v.phase("baseline")
	if !found || !w.isInjected {
		return w, "no fault was injected"
	}
	w.baseline = base
	w.edgeRate, w.demandRate = w.edge.rate(base), w.demand.rate(base)
	f.Samples = len(w.edge.in(base))
	f.Series = w.edge.series(Window{base.From, now}, wireSpan/2)
	return w, w.missing(v.Run, b.links, f)
}

func (w *watch) missing(run *record.Run, l links, f *Finding) string {
	edge := l.name
	_, hidden := firstState(run, record.FaultInjected, func(x record.Fault) bool { return x.Kind == "net-down" && l.cutBy(x) })
	switch {
	case hidden:
		return "net-down refuses connections, so calls on " + edge + " cannot be seen at the wire; use net-timeout or http-error"
	case f.Samples < f.MinSamples:
		return fmt.Sprintf("%s on %s in the baseline, %d are needed", plural(f.Samples, "call"), edge, f.MinSamples)
	case w.demandRate == 0:
		return "nothing asked the caller of " + edge + " in the baseline"
	case w.silentInBaseline():
		return edge + " falls silent for a second in the baseline already, so an open breaker cannot be told"
	}
	return ""
}

// demandOn is what reaches the callers of an edge; the load itself where no
// edge leads to a caller.
func demandOn(run *record.Run, l links) calls {
	callers := l.callers()
	in := requests(run, func(e string) bool {
		_, callee := ends(e)
		return slices.Contains(callers, callee)
	})
	if len(in) > 0 {
		return in
	}
	return operations(run)
}

// silent: hardly any call in the span, and none right at its start, which would
// be the end of the traffic before.
func (w *watch) silent(span Window) bool {
	if len(w.edge.in(Window{span.From, span.From + burstGap})) > 0 {
		return false
	}
	return float64(len(w.edge.in(span))) < silentShare*w.edgeRate*span.length().Seconds()
}

func (w *watch) silentInBaseline() bool {
	for t := w.baseline.From; t+wireSpan <= w.baseline.To; t += wireSpan / 4 {
		if w.silent(Window{t, t + wireSpan}) {
			return true
		}
	}
	return false
}

// asked reports whether the caller is still asked, and still answers.
func (w *watch) asked(span Window) (asked, answers bool) {
	enough := flowingShare * w.demandRate * span.length().Seconds()
	return float64(len(w.demand.in(span))) >= enough, float64(w.demand.answeredIn(span)) >= enough
}

// until is the end of the time in which the breaker may be open.
func (w *watch) until() time.Duration {
	if w.isReverted {
		return w.reverted
	}
	return w.now
}

// opened looks for the first silence with demand. Only the injection and the
// instants right after a call can begin one.
func (w *watch) opened() (time.Duration, bool) {
	starts := []time.Duration{w.injected}
	for _, c := range w.edge.in(Window{w.injected, w.until()}) {
		starts = append(starts, c.at+1)
	}
	for _, t := range starts {
		span := Window{t, t + wireSpan}
		if span.To > w.now || !w.silent(span) {
			continue
		}
		asked, answers := w.asked(span)
		if asked && answers {
			return t, true
		}
		w.sawNoDemand = w.sawNoDemand || !asked
		w.sawStuckWhile = w.sawStuckWhile || (asked && !answers)
	}
	return 0, false
}

func (b *breaker) opens(w *watch, opened time.Duration, isOpen bool) claim {
	limit := time.Duration(b.OpensWithin)
	within := "while the fault stood"
	if limit > 0 {
		within = "(needed within " + short(limit) + ")"
	}
	if isOpen {
		took := opened - w.injected
		c := claim{verdict: Pass, measured: "opened after " + short(took), worst: &opened}
		if limit > 0 {
			c.margin = against(took.Seconds(), limit.Seconds())
			if took > limit {
				c.verdict, c.why = Fail, fmt.Sprintf("the breaker on %s opened only after %s %s", b.Edge, short(took), within)
			}
		}
		return c
	}
	c := claim{verdict: Fail, measured: "never opened", worst: new(w.until()), why: fmt.Sprintf("the breaker on %s never opened %s", b.Edge, within)}
	switch {
	case w.live && !w.isReverted && (limit == 0 || w.now < w.injected+limit+wireSpan):
		c.verdict, c.pending, c.why = Inconclusive, true, "the breaker on "+b.Edge+" may still open"
	case w.until()-w.injected < limit:
		c.verdict, c.why = Inconclusive, fmt.Sprintf("the fault on %s stood for %s only, the breaker has %s to open", b.Edge, short(w.until()-w.injected), short(limit))
	case w.sawStuckWhile:
		c.why = fmt.Sprintf("%s fell silent because its caller was stuck, not because a breaker opened %s", b.Edge, within)
	case w.sawNoDemand:
		c.verdict, c.why = Inconclusive, b.Edge+" fell silent, but so did what its caller is asked"
	}
	return c
}

func (b *breaker) failsFast(w *watch, opened time.Duration) claim {
	limit := time.Duration(b.FailsFastUnder)
	if limit == 0 {
		return claim{}
	}
	asked := w.demand.in(Window{opened, w.until()})
	if len(asked) < failFastSample {
		return claim{verdict: Inconclusive, pending: w.live && !w.isReverted,
			why: fmt.Sprintf("%s to the caller while the breaker was open, %d are needed", plural(len(asked), "request"), failFastSample)}
	}
	asked = slices.SortedStableFunc(slices.Values(asked), func(a, b call) int { return cmp.Compare(a.took(), b.took()) })
	p95 := asked[int(math.Ceil(0.95*float64(len(asked))))-1].took()
	c := claim{verdict: Pass, measured: "95% answered in " + short(p95), margin: against(p95.Seconds(), limit.Seconds()), worst: new(asked[len(asked)-1].at)}
	if p95 >= limit {
		c.verdict = Fail
		c.why = fmt.Sprintf("with the breaker on %s open, 95%% of the answers took up to %s, not under %s", b.Edge, short(p95), short(limit))
	}
	return c
}

func (b *breaker) closes(w *watch) claim {
	limit := time.Duration(b.ClosesWithin)
	if limit == 0 {
		return claim{}
	}
	if !w.isReverted {
		return claim{verdict: Inconclusive, pending: w.live, why: "the fault was not reverted, so the breaker had no chance to close"}
	}
	closed, isClosed, demand := w.closed()
	took := closed - w.reverted
	switch {
	case isClosed && took <= limit:
		return claim{verdict: Pass, measured: "closed after " + short(took), margin: against(took.Seconds(), limit.Seconds()), worst: &closed}
	case isClosed:
		return claim{verdict: Fail, measured: "closed after " + short(took), margin: against(took.Seconds(), limit.Seconds()), worst: &closed,
			why: fmt.Sprintf("the breaker on %s closed only after %s (needed within %s)", b.Edge, short(took), short(limit))}
	case w.now < w.reverted+limit+wireSpan:
		return claim{verdict: Inconclusive, measured: "not closed yet", pending: w.live,
			why: fmt.Sprintf("the breaker on %s was watched for %s after the fault, it has %s to close", b.Edge, short(w.now-w.reverted), short(limit))}
	case !demand:
		return claim{verdict: Inconclusive, measured: "not closed", why: "after the fault nothing asked the caller of " + b.Edge}
	default:
		return claim{verdict: Fail, measured: "not closed", worst: new(w.now),
			why: fmt.Sprintf("the breaker on %s did not close again: %s after the fault the edge still carries less than half its traffic", b.Edge, short(w.now-w.reverted))}
	}
}

// closed looks for the first second of traffic after the fault, and says
// whether there was demand for any.
func (w *watch) closed() (at time.Duration, closed, demand bool) {
	starts := []time.Duration{w.reverted}
	for _, c := range w.edge.in(Window{w.reverted, w.now}) {
		starts = append(starts, c.at)
	}
	for _, t := range starts {
		span := Window{t, t + wireSpan}
		if span.To <= w.now && w.edge.rate(span) >= flowingShare*w.edgeRate {
			return t, true, true
		}
	}
	rest := Window{w.reverted, w.now}
	return 0, false, w.demand.rate(rest) >= flowingShare*w.demandRate
}
