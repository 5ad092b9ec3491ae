package verdict

import (
	"context"
	"fmt"
	"math"
	"time"

	"squall/scenarios/spec"
)

const (
	recoveryStep = 250 * time.Millisecond
	// liveLag is kept from the newest scrape while the run goes on: what the
	// generator has not sent yet must not change an answer later.
	liveLag = 500 * time.Millisecond
)

func init() {
	builtin(Kind{
		Name:    "recovery",
		Summary: "An SLO is met again soon after the last fault is gone.",
		Doc: `Measured from the instant the last fault was reverted, or without any the last step was done, and the load is what it was again, to the first instant from which the SLO is met for a while,
with events in every second of it. The recovery phase ends early once this holds.
Too little evidence: no fault was reverted, or no events after it.`,
		Params: recovery{},
		Fixed:  true,
		During: "recovery",
		New:    newRecovery,
	})
}

type recovery struct {
	SLO     string         `yaml:"slo" spec:"required" doc:"SLO of the system that must be met again."`
	Within  spec.Duration  `yaml:"within" spec:"required" doc:"Longest time from the last fault's end."`
	AtLeast *spec.Quantity `yaml:"atLeast" doc:"Share of good events; the SLO's target if absent."`
	For     spec.Duration  `yaml:"for" spec:"default=2s" doc:"How long it must hold to count."`

	events events
	bounds bounds
}

func newRecovery(d *Declared) Checker {
	r := &recovery{}
	d.decode(r)
	found := sloOf(d, "slo", r.SLO)
	if r.For < spec.Duration(time.Second) {
		d.fail("for", "for: at least 1s, so that every second has events", "")
	}
	tooShort(d, "within", time.Duration(r.Within+r.For))
	r.events, r.bounds = events{found}, atLeastRatio(found.Target)
	if r.AtLeast != nil {
		r.bounds = boundsOf(spec.Check{AtLeast: r.AtLeast})
	}
	return r
}

func (r *recovery) Judge(ctx context.Context, v *View, f *Finding) {
	within := time.Duration(r.Within)
	f.Expected = fmt.Sprintf("%s %s within %s", r.SLO, r.bounds, short(within))
	reverted, found := v.relief()
	if !found {
		f.unclear("no fault was reverted, so there was nothing to recover from")
		f.Pending = v.Live()
		return
	}
	now := v.Now
	if v.Live() {
		now -= liveLag
	}
	// The generator stops with the recovery; later seconds have no events by right.
	if w, open, ok := v.phase("recovery"); ok && !open {
		now = min(now, w.To)
	}
	f.Window = &Window{reverted, max(now, reverted)}
	at, events, err := r.recovered(ctx, v.metrics, *f.Window)
	if err != nil {
		f.broken(err)
		return
	}
	f.Samples = events
	r.conclude(f, at-reverted, at > 0, v.Live())
	if err := r.overTime(ctx, v, f); err != nil {
		f.broken(err)
	}
}

func (r *recovery) conclude(f *Finding, took time.Duration, found, live bool) {
	within, watched := time.Duration(r.Within), f.Window.length()
	switch {
	case found:
		f.Measured, f.Margin = "recovered after "+short(took), against(took.Seconds(), within.Seconds())
		f.Verdict, f.Why = Pass, fmt.Sprintf("%s was %s again %s after the last fault was gone", r.SLO, r.bounds, short(took))
		if took > within {
			f.Verdict = Fail
			f.Why = fmt.Sprintf("%s was %s again only %s after the last fault was gone (needed within %s)", r.SLO, r.bounds, short(took), short(within))
		}
	case watched < within+time.Duration(r.For):
		f.Measured, f.Pending = "not recovered yet", live
		f.unclear(fmt.Sprintf("%s was watched for %s after the last fault, it has %s to recover", r.SLO, short(watched), short(within)))
	case f.Samples == 0:
		f.unclear("no events of " + r.SLO + " after the last fault")
	default:
		f.Measured = "not recovered"
		f.Verdict, f.Why = Fail, fmt.Sprintf("%s was not %s again for %s within %s", r.SLO, r.bounds, short(time.Duration(r.For)), short(watched))
	}
}

// recovered finds the first instant from which the SLO is met for long enough,
// and counts the events since the window's start. Zero: not found.
func (r *recovery) recovered(ctx context.Context, q *querier, w Window) (time.Duration, int, error) {
	span := time.Duration(r.For)
	if w.length() < span {
		return 0, 0, nil
	}
	all, err := r.events.over(ctx, q, w)
	if err != nil {
		if _, none := err.(absentError); none {
			return 0, 0, nil
		}
		return 0, 0, err
	}
	held, err := r.events.each(ctx, q, w, span, recoveryStep)
	if err != nil {
		return 0, 0, err
	}
	seconds, err := r.events.each(ctx, q, w, time.Second, recoveryStep)
	if err != nil {
		return 0, 0, err
	}
	alive := map[time.Duration]bool{} // by the end of the second
	for _, c := range seconds {
		alive[c.T] = true
	}
	for _, c := range held {
		if r.bounds.met(c.ratio()) && everySecond(alive, c.T, span) {
			return c.T - span, int(math.Round(all.total)), nil
		}
	}
	return 0, int(math.Round(all.total)), nil
}

// everySecond reports events in each whole second of the span that ends at end.
func everySecond(alive map[time.Duration]bool, end, span time.Duration) bool {
	for s := time.Duration(0); s+time.Second <= span; s += time.Second {
		if !alive[end-s] {
			return false
		}
	}
	return true
}

func (r *recovery) overTime(ctx context.Context, v *View, f *Finding) error {
	each, err := r.events.each(ctx, v.metrics, *f.Window, time.Second, recoveryStep)
	for _, c := range each {
		f.Series = append(f.Series, Point{c.T, c.ratio()})
	}
	f.Worst = worst(r.bounds, f.Series)
	return err
}
