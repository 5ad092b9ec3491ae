package verdict

import (
	"fmt"
	"slices"

	"squall/scenarios/spec"
)

// others wants requests of others in every phase, where the scenario has no load
// of its own. Proxies of ours tell of them; a fault that keeps requests from
// coming through has met them. Where all proxies are somebody else's, the steady
// state must say how much there is.
func (j *Judge) others(v *View) Finding {
	f := law(LoadLaw, "requests of others in every phase")
	if !slices.ContainsFunc(j.system.Spec.Edges, func(e spec.Edge) bool { return e.Through != nil && e.Through.Squall != "" }) {
		f.Measured, f.Why = "not seen", "no squall proxy sees the system's traffic: the steady state says that there is some"
		if !slices.ContainsFunc(j.scenario.Spec.Steady, asksForSome) {
			f.unclear("no squall proxy sees the system's traffic, and no check of the steady state wants any (atLeast, above)")
		}
		return f
	}
	for _, phase := range []string{"baseline", "fault", "recovery"} {
		w, open, found := v.phase(phase)
		f.Pending = f.Pending || open
		if !found {
			continue
		}
		n := begunIn(v, w)
		if n == 0 && phase == "fault" {
			n = j.met(v)
		}
		f.Samples += n
		f.Details = append(f.Details, fmt.Sprintf("%s: %d requests", phase, n))
		if n == 0 && f.Verdict == Pass {
			f.unclear("nobody used the system in phase " + phase)
		}
	}
	f.Measured = fmt.Sprintf("%d requests", f.Samples)
	if f.Verdict == Pass {
		f.Why = "others used the system in every phase"
	}
	return f
}

// asksForSome reports whether a check does not hold of a system that nobody uses.
func asksForSome(c spec.Check) bool { return c.Kind == "slo" || c.AtLeast != nil || c.Above != nil }

// begunIn is how many requests the proxies saw begin in a window.
func begunIn(v *View, w Window) (n int) {
	for _, x := range v.Run.Exchanges {
		if t := v.Run.T(x.At); t >= w.From && t < w.To {
			n++
		}
	}
	return n
}

// met is how many requests the faults kept from being seen.
func (j *Judge) met(v *View) (n int) {
	for _, x := range j.scenario.Spec.Faults {
		_, receipt := lifecycle(v.Run, x.ID)
		n += int(receipt.Hits)
	}
	return n
}
