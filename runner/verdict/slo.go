package verdict

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "slo",
		Summary: "The share of good events of an SLO over a phase.",
		Doc: `Indicator and target come from the system's OpenSLO file, the window from the scenario. Without a bound, the
target is the least. What decides is the 95 % interval (Wilson) of the ratio: all of it must lie on the right side to
pass, all of it on the wrong side to fail; in between the verdict is inconclusive, and says how many events would
decide. Of steady state and guardrails, which must answer on little data, the value decides. Too little evidence: fewer than 50 events (10 for a
guardrail), or metrics that no source shows.`,
		Params:     slo{},
		Bounds:     BoundsOptional,
		MinSamples: 50,
		New:        newSLO,
	})
}

type slo struct {
	Name string `yaml:"name" spec:"required" doc:"SLO of the system; slo: NAME is the short form."`

	events events
	bounds bounds
}

// FromScalar reads the short form: only the name.
func (s *slo) FromScalar(text string) error {
	s.Name = text
	return nil
}

func newSLO(d *Declared) Checker {
	s := &slo{}
	d.decode(s)
	found := sloOf(d, "name", s.Name)
	s.events, s.bounds = events{found}, boundsOf(d.Check)
	if len(s.bounds) == 0 {
		s.bounds = atLeastRatio(found.Target)
	}
	return s
}

// sloOf finds an SLO of the system.
func sloOf(d *Declared, field, name string) spec.SLO {
	found, ok := d.System.SLOs[name]
	if !ok {
		d.fail(field, fmt.Sprintf("unknown SLO %q", name), spec.Suggest(name, slices.Sorted(maps.Keys(d.System.SLOs))))
	}
	return found
}

func (s *slo) Judge(ctx context.Context, v *View, f *Finding) {
	f.Expected = s.bounds.String()
	n, err := s.events.over(ctx, v.metrics, *f.Window)
	var none absentError
	switch {
	case errors.As(err, &none):
		f.unclear(none.Error())
		return
	case err != nil:
		f.broken(err)
		return
	}
	if err := s.overTime(ctx, v, f); err != nil {
		f.broken(err)
		return
	}
	s.tallied(f, Tally{n.good, n.total})
	f.Pending = f.Pending && !v.lost(f, s.bounds)
}

// tallied decides by events counted.
func (s *slo) tallied(f *Finding, n Tally) {
	f.Tally, f.Samples = &n, int(math.Round(n.Total))
	if f.Samples < max(1, f.MinSamples) {
		f.unclear(fmt.Sprintf("%s, %d are needed", plural(f.Samples, "event"), max(1, f.MinSamples)))
		return
	}
	in := wilson(n.ratio(), n.Total)
	f.Measured, f.Interval = fmt.Sprintf("%s (%s)", percent(n.ratio()), s.bounds.between(in)), &in
	f.Margin = s.bounds.margin(n.ratio())
	if !f.estimated() {
		in = exactly(n.ratio())
	}
	good := fmt.Sprintf("%s of %s were good", trimmed(n.Good, 0), plural(f.Samples, "event"))
	switch f.Verdict = s.bounds.decide(in); f.Verdict {
	case Pass:
		f.Why = good
	case Fail:
		f.Why = fmt.Sprintf("%s was %s, not %s: %s", s.Name, percent(n.ratio()), s.bounds, good)
	default:
		f.unclear(fmt.Sprintf("%s: not sure to be %s%s", good, s.bounds, s.bounds.wouldDecide(n.ratio())))
	}
}

// pool decides by the events of several runs.
func (s *slo) pool(f *Finding, runs []Finding) bool {
	n, ok := tallied(runs)
	if ok {
		s.tallied(f, n)
	}
	return ok
}

// overTime fills series and worst instant, by seconds.
func (s *slo) overTime(ctx context.Context, v *View, f *Finding) error {
	if f.Group == "guardrail" {
		return nil
	}
	each, err := s.events.each(ctx, v.metrics, *f.Window, time.Second, time.Second)
	for _, c := range each {
		f.Series = append(f.Series, Point{c.T, c.ratio()})
	}
	f.Worst = worst(s.bounds, f.Series)
	return err
}

// worst is the instant of the value that the bounds like least.
func worst(bs bounds, series []Point) *time.Duration {
	if len(series) == 0 {
		return nil
	}
	p := series[0]
	for _, q := range series[1:] {
		if bs.worse(q.V, p.V) {
			p = q
		}
	}
	return &p.T
}
