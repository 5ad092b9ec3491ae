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
target is the least. The value decides; its 95 % interval (Wilson) is printed beside it, so that a narrow pass can
be told from a safe one. Too little evidence: fewer than 50 events (10 for a guardrail), or metrics that no source shows.`,
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

func newSLO(d Declared) (Checker, spec.Problems) {
	s := &slo{}
	if ps := d.decode(s); ps != nil {
		return nil, ps
	}
	found, ps := sloOf(d, "name", s.Name)
	if ps != nil {
		return nil, ps
	}
	s.events, s.bounds = events{found}, boundsOf(d.Check)
	if len(s.bounds) == 0 {
		s.bounds = atLeastRatio(found.Target)
	}
	return s, nil
}

// sloOf finds an SLO of the system.
func sloOf(d Declared, field, name string) (spec.SLO, spec.Problems) {
	found, ok := d.System.SLOs[name]
	if !ok {
		return found, d.problem(field, fmt.Sprintf("unknown SLO %q", name), spec.Suggest(name, slices.Sorted(maps.Keys(d.System.SLOs))))
	}
	return found, nil
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
	f.Samples = int(math.Round(n.total))
	if f.Samples < max(1, f.MinSamples) {
		f.unclear(fmt.Sprintf("%s, %d are needed", plural(f.Samples, "event"), max(1, f.MinSamples)))
		return
	}
	if err := s.overTime(ctx, v, f); err != nil {
		f.broken(err)
		return
	}
	s.conclude(f, n)
}

func (s *slo) conclude(f *Finding, n count) {
	low, high := wilson(n.ratio(), n.total)
	f.Measured = fmt.Sprintf("%s (95%%: %s to %s)", percent(n.ratio()), percent(low), percent(high))
	f.Margin = s.bounds.margin(n.ratio())
	if s.bounds.met(n.ratio()) {
		f.Verdict, f.Why = Pass, fmt.Sprintf("%s of %s were good", trimmed(n.good, 0), plural(f.Samples, "event"))
		return
	}
	f.Verdict = Fail
	f.Why = fmt.Sprintf("%s was %s, not %s: %s of %s were good", s.Name, percent(n.ratio()), s.bounds, trimmed(n.good, 0), plural(f.Samples, "event"))
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
