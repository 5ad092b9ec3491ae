package verdict

import (
	"context"
	"fmt"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// scanStep is how densely a guardrail is looked at afterwards; the runner
// looks about as often.
const scanStep = 250 * time.Millisecond

// kept turns the bound of a guardrail around. A scenario says when to abort
// ("below 20%"); what is judged, like any assertion, is what must be kept.
func kept(c spec.Check) spec.Check {
	c.AtLeast, c.Below = c.Below, c.AtLeast
	c.AtMost, c.Above = c.Above, c.AtMost
	return c
}

// guardrailAt judges a guardrail over the window that ends at t. Traffic
// before the baseline does not count.
func (v *View) guardrailAt(ctx context.Context, c declared, t time.Duration) Finding {
	f := c.blank()
	f.Window = &Window{max(0, t-c.For), t}
	base, _, found := v.phase("baseline")
	if !found || f.Window.From < base.From {
		f.Pending = v.Live()
		f.unclear("not watched for " + short(c.For) + " yet")
		return f
	}
	run(ctx, c, v, &f)
	return f
}

// guardrail judges a guardrail over the whole run: its first broken window, or
// else the last that could be judged.
func (v *View) guardrail(ctx context.Context, c declared) Finding {
	f := c.blank()
	w, open, found := v.phase("run")
	stood, _, _ := v.phase("fault") // the runner watches from here
	_, injected := firstState(v.Run, record.FaultInjected, anyFault)
	if !found || !injected {
		f.Pending = v.Live()
		f.unclear("not judged: no fault was injected")
		return f
	}
	f.unclear("the run is shorter than " + short(c.For))
	for t := w.To; t >= max(stood.From, w.From+c.For); t -= scanStep {
		at := v.guardrailAt(ctx, c, t)
		if worseGuardrail(at, f) {
			f = at
		}
	}
	f.Pending = open
	v.guardrailVerdict(&f, c.For)
	return f
}

// worseGuardrail: broken beats met, met beats no data, and the earlier of two
// broken windows is the cause.
func worseGuardrail(a, b Finding) bool {
	order := map[Verdict]int{Inconclusive: 0, Pass: 1, Error: 2, Fail: 3}
	return order[a.Verdict] > order[b.Verdict] || (a.Verdict == Fail && b.Verdict == Fail)
}

func (v *View) guardrailVerdict(f *Finding, hold time.Duration) {
	switch f.Verdict {
	case Pass:
		f.Why = "never broken for " + short(hold)
	case Fail:
		if v.Run.End != nil && v.Run.End.Reason == record.EndAborted {
			f.Verdict = Aborted
		}
		f.Worst = new(f.Window.To)
		f.Why = fmt.Sprintf("broken for %s until %s: %s", short(hold), short(f.Window.To), f.Why)
	}
}
