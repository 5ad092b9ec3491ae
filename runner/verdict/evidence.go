package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// evidence applies the laws without which no run may pass. They are always all
// there, in this order.
func (j *Judge) evidence(ctx context.Context, v *View, checks []Finding) []Finding {
	out := []Finding{j.ended(v), j.steadyHeld(checks), j.traffic(ctx, v)}
	for _, x := range j.scenario.Spec.Faults {
		out = append(out, bit(v, x.ID, x.Kind, x.On), gone(v, x.ID, x.Kind, x.On))
	}
	for _, s := range j.scenario.Spec.Steps {
		out = append(out, done(v, s))
	}
	return append(out, j.survived(v), complete(v), j.scraped(v), asserted(checks))
}

func law(id, expected string) Finding {
	return Finding{ID: id, Kind: "evidence", Group: "evidence", Expected: expected, Verdict: Pass}
}

// ended maps how the run ended.
func (j *Judge) ended(v *View) Finding {
	f := law("end", "the run goes to its end")
	end := v.Run.End
	if end == nil {
		f.Measured, f.Pending = "not ended", true
		f.unclear("the run has not ended, or its runner died")
		return f
	}
	f.Measured = end.Reason
	switch end.Reason {
	case record.EndDone:
		f.Why = "the run went to its end"
	case record.EndAborted:
		f.Verdict, f.Why = Aborted, cmp.Or(end.Error, "by a guardrail")
	case record.EndInterrupted:
		f.Verdict, f.Why = Aborted, "by a person or a signal"
	case record.EndNotSteady:
		f.unclear(cmp.Or(end.Error, "steady state not met") + "; nothing was injected")
	default:
		f.Verdict, f.Why = Error, cmp.Or(end.Error, "the runner gave no reason")
	}
	return f
}

func (j *Judge) steadyHeld(checks []Finding) Finding {
	f := law("steady-held", "the steady state holds before the fault")
	var broken []string
	for _, c := range checks {
		if c.Group != "steady" {
			continue
		}
		f.Samples++
		if c.Verdict != Pass {
			broken = append(broken, c.ID+": "+c.Why)
		}
		f.Pending = f.Pending || c.Pending
	}
	f.Measured = fmt.Sprintf("%d of %d checks held", f.Samples-len(broken), f.Samples)
	switch {
	case f.Samples == 0:
		f.unclear("no steady state is declared")
	case len(broken) > 0:
		f.unclear(broken[0])
		f.Details = bounded(broken)
	default:
		f.Why = "the steady state held in the baseline"
	}
	return f
}

// bit wants a receipt: the fault affected something.
func bit(v *View, id, kind, on string) Finding {
	f := law("fault-bit:"+id, "a receipt from "+kind+" on "+on)
	state, receipt := lifecycle(v.Run, id)
	f.Measured = "nothing affected"
	if receipt.Hits > 0 {
		f.Measured = receipt.String()
	}
	f.Samples = int(receipt.Hits)
	_, injected := state[record.FaultInjected]
	failed, isFailed := state[record.FaultFailed]
	switch {
	case isFailed:
		f.Verdict, f.Why = Error, fmt.Sprintf("%s on %s failed: %s", kind, on, failed.Error)
	case receipt.Hits > 0:
		f.Why = fmt.Sprintf("%s hit %s: %s affected", kind, on, receipt)
	case !injected:
		f.Pending = v.Live()
		f.unclear(fmt.Sprintf("%s on %s was never injected", kind, on))
	default:
		f.Pending = v.Live()
		f.unclear(fmt.Sprintf("%s on %s never bit: nothing was affected", kind, on))
	}
	return f
}

// done wants a step to have been done.
func done(v *View, s spec.Step) Finding {
	f := law("step-done:"+s.ID, s.Describe())
	f.Measured, f.Pending = "not done", v.Live()
	f.unclear("step " + s.ID + " was not done")
	for _, e := range v.Run.Steps {
		switch {
		case e.ID != s.ID:
		case e.State == record.StepFailed:
			f.Measured, f.Verdict, f.Why = "failed", Error, fmt.Sprintf("step %s failed: %s", s.ID, e.Error)
		case e.State == record.StepDone:
			f.Measured, f.Verdict, f.Why, f.Pending = fmt.Sprintf("done at %.1fs", e.T.Seconds()), Pass, "step "+s.ID+" was done", false
		}
	}
	return f
}

// gone wants to have seen that nothing of the fault is left.
func gone(v *View, id, kind, on string) Finding {
	f := law("fault-gone:"+id, kind+" on "+on+" seen gone")
	state, _ := lifecycle(v.Run, id)
	_, injected := state[record.FaultInjected]
	_, reverted := state[record.FaultReverted]
	_, isGone := state[record.FaultGone]
	switch {
	case isGone:
		f.Measured, f.Why = "gone", kind+" on "+on+" was seen gone"
	case !injected && !reverted:
		f.Measured, f.Pending = "never injected", v.Live()
		f.unclear(kind + " on " + on + " was never injected")
	case v.Live():
		f.Measured, f.Pending = "in force", true
		f.unclear(kind + " on " + on + " is still in force")
	case reverted:
		f.Measured = "reverted"
		f.Verdict, f.Why = Error, kind+" on "+on+" was reverted but not seen gone"
	default:
		f.Measured = "not reverted"
		f.Verdict, f.Why = Error, kind+" on "+on+" was not reverted: squall heal"
	}
	return f
}

// lifecycle returns the last event of each state of a fault, and its fullest receipt.
func lifecycle(run *record.Run, id string) (map[record.FaultState]record.FaultEvent, record.Receipt) {
	states := map[record.FaultState]record.FaultEvent{}
	var receipt record.Receipt
	for _, e := range run.Faults {
		if e.ID != id {
			continue
		}
		states[e.State] = e
		if e.Receipt != nil && e.Receipt.Hits >= receipt.Hits {
			receipt = *e.Receipt
		}
	}
	return states, receipt
}

// survived wants no process to have died but by a fault.
func (j *Judge) survived(v *View) Finding {
	f := law("processes", "no process dies by itself")
	span, _, _ := v.phase("run")
	var dead []string
	for _, p := range v.Run.Processes {
		if p.Event == "exited" && !j.aimedAt(p.Service) && p.T >= span.From && p.T <= span.To {
			dead = append(dead, fmt.Sprintf("%s died at %.1fs: %s", p.Service, p.T.Seconds(), p.Detail))
		}
	}
	f.Measured, f.Details = fmt.Sprintf("%d died", len(dead)), bounded(dead)
	f.Why = "none did"
	if len(dead) > 0 {
		f.Verdict, f.Why = Fail, dead[0]
	}
	return f
}

// aimedAt reports whether a fault acts on the instance itself.
func (j *Judge) aimedAt(instance string) bool {
	return slices.ContainsFunc(j.scenario.Spec.Faults, func(x spec.Fault) bool {
		return slices.Contains(j.system.Targets(x.On), instance)
	})
}

// complete wants a record without gaps.
func complete(v *View) Finding {
	f := law("record", "a record without gaps")
	f.Measured = plural(len(v.Run.Gaps), "gap")
	f.Details = bounded(slices.Clone(v.Run.Gaps))
	switch {
	case len(v.Run.Gaps) > 0:
		f.unclear("the record has gaps: " + v.Run.Gaps[0])
	case v.Run.End == nil:
		f.Pending = true
		f.unclear("the record has no end")
	default:
		f.Why = "the record is complete"
	}
	return f
}

// asserted wants something that could have failed.
func asserted(checks []Finding) Finding {
	f := law("assertions", "at least one assertion")
	for _, c := range checks {
		if c.Group == "expect" {
			f.Samples++
		}
	}
	f.Measured = plural(f.Samples, "assertion")
	f.Why = "something was asserted"
	if f.Samples == 0 {
		f.unclear("nothing is asserted")
	}
	return f
}
