package verdict

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// settling is left out of each stage: what was begun in the one before ends in it.
const settling = 500 * time.Millisecond

func init() {
	builtin(Kind{
		Name:    "capacity",
		Summary: "The knee: how much load, raised stage by stage, the system carries with all SLOs met.",
		Doc: `Takes the stages of the load (load.stages), which must rise. A stage is carried where each SLO is met in it; its first 500 ms
are left out. The knee is the arrival rate of the last stage before the first that is not carried; the bound is on it, in iterations per
second (atLeast: 40). The details have a line for each stage, with how far each SLO was from breaking.
The 95 % interval (Wilson) of the ratio decides over a stage; where it does not, the knee has an interval itself, all of which must lie on
the right side of the bound. Where every stage is carried the knee is beyond the last. Too little evidence: a stage with fewer than
20 events of an SLO; stages that never ran.`,
		Params:     capacity{},
		Bounds:     BoundsRequired,
		MinSamples: 20,
		New:        newCapacity,
	})
}

type capacity struct {
	SLOs   []string    `yaml:"slos" spec:"required,min=1" doc:"SLOs of the system that must be met for a stage to be carried."`
	Target *spec.Ratio `yaml:"target" doc:"Share of good events that each must have; the SLO's own target if absent."`

	all    []sloBound
	bounds bounds
}

// sloBound is an SLO and what it must reach in a stage.
type sloBound struct {
	events
	bounds
}

func newCapacity(d *Declared) Checker {
	c := &capacity{bounds: boundsOf(d.Check)}
	d.decode(c)
	for _, name := range c.SLOs {
		found := sloOf(d, "slos", name)
		target := found.Target
		if c.Target != nil {
			target = float64(*c.Target)
		}
		c.all = append(c.all, sloBound{events{found}, atLeastRatio(target)})
	}
	stages := d.Scenario.Spec.Load.Stages
	if len(stages) == 0 {
		d.note(d.Params.At(), "capacity needs load.stages that rise")
	}
	for i, s := range stages {
		if i > 0 && s.Arrival.PerSecond <= stages[i-1].Arrival.PerSecond {
			d.note(s.Pos, fmt.Sprintf("arrival: capacity needs stages that rise, and %s is not above %s", s.Arrival, stages[i-1].Arrival))
		}
	}
	return c
}

// level is one stage of the load, and what became of it.
type level struct {
	rate    float64
	verdict Verdict
	why     string // what was not met
}

func (c *capacity) Judge(ctx context.Context, v *View, f *Finding) {
	f.Expected = c.bounds.String() + " iterations/s"
	levels, err := c.levels(ctx, v, f)
	var none absentError
	switch {
	case errors.As(err, &none):
		f.unclear(none.Error())
	case err != nil:
		f.broken(err)
	case len(levels) == 0:
		f.unclear("no stage of the load ran")
	default:
		c.conclude(f, levels)
	}
}

// levels judges the stages that have ended.
func (c *capacity) levels(ctx context.Context, v *View, f *Finding) (out []level, err error) {
	began, err := began(ctx, v)
	if err != nil {
		return nil, err
	}
	parts, rates := arrivalsOf(v.Run, began).stages()
	for i, w := range parts {
		w.From = min(w.From+settling, w.To)
		if w.To > v.Now || w.length() == 0 {
			break
		}
		l := level{rate: rates[i], verdict: Pass}
		var says []string
		for _, s := range c.all {
			n, err := s.over(ctx, v.metrics, w)
			if err != nil {
				return nil, err
			}
			f.Samples += int(math.Round(n.total))
			is := s.decide(wilson(n.ratio(), n.total))
			if n.total < float64(f.MinSamples) {
				is = Inconclusive
			}
			if rank(is) > rank(l.verdict) {
				l.verdict, l.why = is, fmt.Sprintf("%s was %s", s.Name, percent(n.ratio()))
			}
			if s.Name == c.all[0].Name {
				f.Series = append(f.Series, Point{w.To, n.ratio()})
			}
			says = append(says, fmt.Sprintf("%s %s of %s, %s", s.Name, percent(n.ratio()), plural(int(math.Round(n.total)), "event"), s.margin(n.ratio())))
		}
		f.Details = append(f.Details, fmt.Sprintf("%s iterations/s: %s; %s", trimmed(l.rate, 1), carried[l.verdict], strings.Join(says, "; ")))
		out = append(out, l)
	}
	return out, nil
}

var carried = map[Verdict]string{Pass: "carried", Fail: "not carried", Inconclusive: "not sure to be carried"}

// conclude finds the knee and compares it.
func (c *capacity) conclude(f *Finding, levels []level) {
	knee, breaks := between(levels)
	f.Verdict = c.bounds.decide(knee)
	f.Measured = fmt.Sprintf("%s iterations/s", c.bounds.format(float64(knee.Low)))
	if knee.Low != knee.High {
		f.Interval = &knee
		f.Measured += " (" + c.bounds.between(knee) + ")"
	}
	f.Margin = c.bounds.margin(float64(knee.Low))
	why := fmt.Sprintf("the knee is at %s", f.Measured)
	switch {
	case breaks != nil:
		why += fmt.Sprintf(": at %s/s %s", trimmed(breaks.rate, 1), breaks.why)
	default:
		why += ": no stage was beyond it"
	}
	f.Why = why
	switch f.Verdict {
	case Fail:
		f.Why += ", not " + f.Expected
	case Inconclusive:
		f.Why += ": not sure to be " + f.Expected
	}
}

// between is where the knee lies: at least the last stage before one that is not
// surely carried, at most the last before one that surely is not. Beyond the
// last stage nothing is known.
func between(levels []level) (knee Interval, breaks *level) {
	knee.High = record.Float(math.Inf(1))
	sure, last := true, 0.0
	for i := range levels {
		l := &levels[i]
		sure = sure && l.verdict == Pass
		if l.verdict == Fail {
			knee.High, breaks = record.Float(last), l
			break
		}
		if last = l.rate; sure {
			knee.Low = record.Float(last)
		}
	}
	return knee, breaks
}
