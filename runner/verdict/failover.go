package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "failover",
		Summary: "When an instance goes, its service goes on: how long nobody answers, what is lost, who still calls the dead one.",
		Doc: `Judged at the wire, over all links of the edge, from the first fault (without any, the first step) to the end of the recovery.
The gap is the longest time in which no call on the edge was answered without a server error. Unanswered are calls whose caller waited and that got no
answer, sent or not. An instance has left when nobody calls it any more; gone is one that a fault hits itself, or whose own calls
it hits. Dials are the connections opened in any one second after the last fault. Too little evidence: fewer than 20 calls since
the first fault; an edge that was silent in the baseline for half of the gap allowed; an instance that was not away for long enough.`,
		Params:     failover{},
		Fixed:      true,
		During:     "run",
		MinSamples: 20,
		New:        newFailover,
	})
}

type failover struct {
	Edge             string        `yaml:"edge" spec:"required" doc:"HTTP edge to the service whose instances fail."`
	GapAtMost        spec.Duration `yaml:"gapAtMost" doc:"Longest time without a good answer."`
	UnansweredAtMost *int          `yaml:"unansweredAtMost" spec:"min=0" doc:"Most calls without an answer; 0 where an instance is stopped in good order."`
	LeavesWithin     spec.Duration `yaml:"leavesWithin" doc:"From an instance's end to the last call to it; it must be away for longer."`
	DialsAtMost      *int          `yaml:"dialsAtMost" spec:"min=1" doc:"Most connections opened in one second once the faults are gone: more is a herd."`

	links links
}

func newFailover(d *Declared) Checker {
	x := &failover{}
	d.decode(x)
	x.links = linksOf(d, "edge", x.Edge)
	if x.GapAtMost == 0 && x.UnansweredAtMost == nil && x.LeavesWithin == 0 && x.DialsAtMost == nil {
		d.fail("", "failover needs gapAtMost, unansweredAtMost, leavesWithin or dialsAtMost", "")
	}
	return x
}

func (x *failover) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = x.links.name
	w := x.window(v)
	f.Window = &w
	all := x.exchanges(v.Run)
	since := slices.DeleteFunc(slices.Clone(all), func(e exchange) bool { return !w.holds(e.at) })
	f.Samples = len(since)
	if f.Samples < f.MinSamples {
		f.Pending = v.Live()
		f.unclear(fmt.Sprintf("%s on %s since the first fault, %d are needed", plural(f.Samples, "call"), x.links.name, f.MinSamples))
		return
	}
	var claims []claim
	if x.GapAtMost > 0 {
		claims = append(claims, x.gap(v, all, w, f))
	}
	if x.UnansweredAtMost != nil {
		claims = append(claims, x.unanswered(v.Run, since, f))
	}
	if x.LeavesWithin > 0 {
		claims = append(claims, x.leaves(v.Run, since, f))
	}
	if x.DialsAtMost != nil {
		claims = append(claims, x.dials(v.Run, all, w))
	}
	f.decide(claims)
	f.Details = bounded(f.Details)
	f.Pending = v.Live() && f.Verdict != Fail && !x.calm(v)
}

// calm reports that all faults have been gone for so long that waiting for more
// to happen shows nothing new.
func (x *failover) calm(v *View) bool {
	relief, found := v.relief()
	_, begun := v.Run.Phase("recovery")
	return found && begun && v.Now-relief > max(2*time.Second, time.Duration(x.GapAtMost))
}

// window is from the first fault or step to the end of the recovery.
func (x *failover) window(v *View) Window {
	w, _, _ := v.phase("run")
	from, found := firstState(v.Run, record.FaultIntent, anyFault)
	if !found && len(v.Run.Steps) > 0 {
		from, found = v.Run.Steps[0].T, true
	}
	if found {
		w.From = max(w.From, from)
	}
	return w
}

// exchange is a call at the wire with its instant.
type exchange struct {
	*record.Exchange
	at, end time.Duration
}

func (e exchange) good() bool { return e.Status != 0 && e.Status < 500 && e.Error == "" }

// exchanges are the calls on the links, in the order of their start.
func (x *failover) exchanges(run *record.Run) (out []exchange) {
	for i := range run.Exchanges {
		if e := &run.Exchanges[i]; isCall(e) && x.links.has(e.Edge) {
			out = append(out, exchange{e, run.T(e.At), run.T(e.At) + time.Duration(e.Dur)})
		}
	}
	slices.SortStableFunc(out, func(a, b exchange) int { return cmp.Compare(a.at, b.at) })
	return out
}

// gap is the claim on the longest time without a good answer.
func (x *failover) gap(v *View, all []exchange, w Window, f *Finding) claim {
	limit := time.Duration(x.GapAtMost)
	c := claim{expected: "a gap of at most " + short(limit)}
	at, longest := longestGap(goodEnds(all, w), w)
	c.measured, c.margin = "longest gap "+short(longest), against(longest.Seconds(), limit.Seconds())
	c.worst = &at
	usual := time.Duration(0)
	if base, _, found := v.phase("baseline"); found {
		_, usual = longestGap(goodEnds(all, base), base)
	}
	switch {
	case usual > limit/2:
		return c.unless(fmt.Sprintf("%s had no good answer for %s in the baseline: too little traffic to see a gap of %s", x.links.name, short(usual), short(limit)))
	case longest > limit:
		c.verdict, c.why = Fail, fmt.Sprintf("%s had no good answer for %s from %.1fs on, at most %s are allowed", x.links.name, short(longest), at.Seconds(), short(limit))
	default:
		c.verdict, c.why = Pass, fmt.Sprintf("%s had good answers all along but for %s", x.links.name, short(longest))
	}
	return c
}

// goodEnds are the instants at which good answers ended.
func goodEnds(all []exchange, w Window) (at []time.Duration) {
	for _, e := range all {
		if e.good() && w.holds(e.end) {
			at = append(at, e.end)
		}
	}
	slices.Sort(at)
	return at
}

func (x *failover) unanswered(run *record.Run, since []exchange, f *Finding) claim {
	n := 0
	for _, e := range since {
		if e.Status == 0 && e.Error != "caller-left" {
			n++
			f.Details = append(f.Details, fmt.Sprintf("%.2fs %s %s %s: %s", e.at.Seconds(), e.Edge, e.Method, e.Path, e.Error))
		}
	}
	c := claim{expected: fmt.Sprintf("at most %d unanswered", *x.UnansweredAtMost), measured: fmt.Sprintf("%d of %d calls unanswered", n, len(since))}
	c.verdict, c.why = Pass, c.measured
	if n > *x.UnansweredAtMost {
		c.verdict, c.why = Fail, fmt.Sprintf("%s on %s got no answer, at most %d may: %s", plural(n, "call"), x.links.name, *x.UnansweredAtMost, f.Details[0])
	}
	return c
}

// away is a time in which an instance was gone.
type away struct {
	instance string
	Window
}

// leaves is the claim on calls to instances that are gone.
func (x *failover) leaves(run *record.Run, since []exchange, f *Finding) claim {
	limit := time.Duration(x.LeavesWithin)
	c := claim{expected: "no calls to a gone instance after " + short(limit)}
	gone := x.gone(run)
	if len(gone) == 0 {
		return c.unless("no fault hit an instance that " + x.links.name + " leads to")
	}
	last, late, lacks := time.Duration(0), 0, ""
	for _, a := range gone {
		if a.length() < limit+time.Second {
			lacks = fmt.Sprintf("%s was away for %s, which is too short to see that it is left within %s", a.instance, short(a.length()), short(limit))
		}
		others := 0
		for _, e := range since {
			_, callee := ends(e.Edge)
			switch after := e.at - a.From; {
			case !a.holds(e.at):
			case callee != a.instance:
				others++
			case after > limit:
				late++
				f.Details = append(f.Details, fmt.Sprintf("%.2fs %s %s %s: %s after it had gone", e.at.Seconds(), e.Edge, e.Method, e.Path, short(after)))
				last = max(last, after)
			default:
				last = max(last, after)
			}
		}
		if others < 20 {
			lacks = fmt.Sprintf("%s to other instances while %s was away, 20 are needed", plural(others, "call"), a.instance)
		}
	}
	c.measured, c.margin = "the last call "+short(last)+" after its end", against(last.Seconds(), limit.Seconds())
	c.why = c.measured
	c = c.unless(lacks)
	if late > 0 { // whatever else is lacking, this has been seen
		c.verdict, c.why = Fail, fmt.Sprintf("%s on %s to an instance that had been gone for more than %s, the last %s after its end", plural(late, "call"), x.links.name, short(limit), short(last))
	}
	return c
}

// gone are the times in which a callee of the links was hit itself, or its own calls were.
func (x *failover) gone(run *record.Run) (out []away) {
	callees := map[string]bool{}
	for edge := range x.links.of {
		_, callee := ends(edge)
		callees[callee] = true
	}
	begun := map[string]away{}
	for _, e := range run.Faults {
		for _, hit := range e.Hits() {
			instance, _ := ends(hit) // of what is no edge, itself
			key := e.ID + " " + instance
			a, there := begun[key]
			switch {
			case !callees[instance]:
			case e.State == record.FaultInjected && !there:
				begun[key] = away{instance, Window{From: e.T}}
			case e.State == record.FaultReverted && there && a.To == 0:
				a.To = e.T
				begun[key] = a
				out = append(out, a)
			}
		}
	}
	return out
}

// dials is the claim on connections opened once the faults are gone.
func (x *failover) dials(run *record.Run, all []exchange, w Window) claim {
	c := claim{expected: fmt.Sprintf("at most %d dials a second", *x.DialsAtMost)}
	relief, found := lastState(run, record.FaultReverted, anyFault)
	if !found {
		return c.unless("no fault was reverted, so nobody came back")
	}
	type conn struct {
		edge string
		n    uint64
	}
	seen := map[conn]bool{}
	var opened []time.Duration
	for _, e := range all {
		k := conn{e.Edge, e.Conn}
		if !seen[k] && e.at >= relief && e.at < w.To {
			opened = append(opened, e.at)
		}
		seen[k] = true
	}
	most, from := 0, 0
	for i := range opened {
		for opened[i]-opened[from] >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	c.measured, c.margin = fmt.Sprintf("at most %s in a second", plural(most, "dial")), against(float64(most), float64(*x.DialsAtMost))
	c.verdict, c.why = Pass, c.measured
	if most > *x.DialsAtMost {
		c.verdict, c.why = Fail, fmt.Sprintf("%s opened %d connections in one second after the faults were gone, at most %d are allowed", x.links.name, most, *x.DialsAtMost)
	}
	return c
}
