package verdict

import (
	"context"
	"fmt"
	"math"
	"time"
)

// LoadLaw is the id of the law that wants the load as it was asked for.
const LoadLaw = "load"

// What makes a generator starved.
const (
	leastAchieved = 0.98  // of the iterations that were due
	mostDropped   = 0.005 // of the iterations that were due
)

// traffic wants the system to have been used: by load of ours, or by others.
func (j *Judge) traffic(ctx context.Context, v *View) Finding {
	if j.scenario.Spec.Load.Given() {
		return j.load(ctx, v)
	}
	return j.others(v)
}

// load wants the generator to have offered what was asked for, in every phase.
func (j *Judge) load(ctx context.Context, v *View) Finding {
	f := law(LoadLaw, "at least 98% of the arrivals, at most 0.5% dropped")
	flowing, stopped := false, v.Now
	for _, e := range v.Run.Loads {
		switch {
		case e.Error != "":
			f.Verdict, f.Why = Error, "the load generator failed: "+e.Error
			return f
		case e.Event == "flowing":
			flowing = true
		case e.Event == "stopped":
			stopped = e.T
		}
	}
	if !flowing {
		f.Pending = v.Live()
		f.unclear("the load generator never delivered")
		return f
	}
	if err := j.phasesLoaded(ctx, v, &f, stopped); err != nil {
		f.broken(fmt.Errorf("load: %w", err))
	}
	return f
}

// offered is what the generator did in one phase.
type offered struct {
	phase             string
	due               float64
	achieved, dropped float64
}

func (o offered) String() string {
	return fmt.Sprintf("%s: %s of %s iterations, %s dropped", o.phase, trimmed(o.achieved, 0), trimmed(o.due, 0), trimmed(o.dropped, 0))
}

func (o offered) starved() bool {
	// One iteration may fall on either side of a phase's edge.
	return o.achieved < leastAchieved*o.due-1 || o.dropped > mostDropped*o.due
}

func (j *Judge) phasesLoaded(ctx context.Context, v *View, f *Finding, stopped time.Duration) error {
	began, err := began(ctx, v)
	if err != nil {
		return err
	}
	asked := arrivalsOf(v.Run, began)
	var due, achieved float64
	for _, phase := range []string{"baseline", "fault", "recovery"} {
		w, open, found := v.phase(phase)
		f.Pending = f.Pending || open
		if !found {
			continue
		}
		o, err := j.offered(ctx, v, phase, w, stopped, began, asked)
		if err != nil {
			return err
		}
		due, achieved = due+o.due, achieved+o.achieved
		f.Details = append(f.Details, o.String())
		if o.starved() && f.Verdict == Pass {
			f.unclear("the load generator was starved in " + o.String())
		}
	}
	f.Samples = int(math.Round(achieved))
	switch {
	case due == 0 || achieved == 0:
		f.unclear("no iterations of the load were recorded")
	case f.Verdict == Pass:
		f.Why = "the load was as asked for in every phase"
	}
	if due > 0 {
		f.Measured, f.Margin = percent(math.Min(1, achieved/due)), signed(100*(achieved/due-leastAchieved))+" points"
	}
	return nil
}

// offered counts what began in a phase. k6 counts iterations when they end, so
// that slow ones would look like missing ones; their operations tell the start.
func (j *Judge) offered(ctx context.Context, v *View, phase string, w Window, stopped time.Duration, began calls, asked arrivals) (offered, error) {
	o := offered{phase: phase}
	if phase == "recovery" {
		// What begins right before the generator is stopped may leave no trace.
		w.To = max(w.From, min(w.To, stopped-time.Second))
	}
	if w.length() <= 0 {
		return o, nil
	}
	o.due = asked.due(w)
	o.achieved = float64(len(began.in(w)))
	var err error
	if began == nil {
		if o.achieved, _, err = v.metrics.increase(ctx, "k6_iterations_total", w); err != nil {
			return o, err
		}
	}
	o.dropped, _, err = v.metrics.increase(ctx, "k6_dropped_iterations_total", w)
	return o, err
}

// began are the iterations by the operation that came first in each. It is nil
// if there are iterations without one.
func began(ctx context.Context, v *View) (calls, error) {
	first := calls{}
	for _, o := range v.Run.Operations {
		if o.First {
			first = append(first, call{at: v.Run.T(o.At)})
		}
	}
	if v.Now == 0 {
		return first, nil
	}
	ended, _, err := v.metrics.increase(ctx, "k6_iterations_total", Window{0, v.Now})
	if err != nil || ended > float64(len(first)) {
		return nil, err
	}
	return first.sorted(), nil
}
