package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// Look is what an assertion wants to know of the system beside what the load,
// the wire and the metrics tell. The runner looks, the assertion reads the record.
type Look struct {
	Name   string // of the assertion, and of the probes in the record
	During string // phase; "run" is all from the baseline to the recovery
	At     time.Duration
	Every  time.Duration // 0: once
	Act    spec.Act
}

// In reports whether it is looked in a phase.
func (l Look) In(phase string) bool {
	return l.During == phase || l.During == "run" && slices.Contains([]string{"baseline", "fault", "recovery"}, phase)
}

// looker is a checker that wants looks.
type looker interface{ look() Look }

// Looks are all that the checks want to be looked at.
func (j *Judge) Looks() (out []Look) {
	for _, c := range j.checks {
		if l, ok := c.checker.(looker); ok {
			look := l.look()
			look.Name, look.During = c.ID, c.During
			out = append(out, look)
		}
	}
	return out
}

// Refused says why what came of a step is not what was wanted; "" if it is.
func Refused(a spec.Act, p record.Probe) string {
	switch {
	case !p.OK:
		return noAnswer(p)
	case a.HTTP != nil && (p.Value < 200 || p.Value > 299):
		return fmt.Sprintf("status %g: %s", p.Value, brief(p.Text))
	case a.Command != nil && p.Value != 0:
		return fmt.Sprintf("exit code %g: %s", p.Value, brief(p.Text))
	}
	return ""
}

func noAnswer(p record.Probe) string { return cmp.Or(p.Note, "no answer") }

// brief is the beginning of a text, for a sentence.
func brief(text string) string {
	const most = 200
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// refuse turns the mistakes of an act into problems of a check.
func refuse(d *Declared, mistakes []spec.Mistake) {
	for _, m := range mistakes {
		d.fail(m.Field, m.Msg, m.Suggest)
	}
}

// asked are the probes of a name that were sent in the window.
func asked(run *record.Run, name string, w Window) (out []record.ProbeEvent) {
	for _, p := range run.Probes {
		if p.Name == name && w.holds(p.Asked()) {
			out = append(out, p)
		}
	}
	return out
}

// judgeLooks counts the looks that show what is expected. They are all there
// were, not a sample of something, so their share itself decides.
func judgeLooks(v *View, f *Finding, after time.Duration, bs bounds, flaw func(record.Probe) string) {
	w := *f.Window
	w.From = min(w.From+after, w.To)
	looks := asked(v.Run, f.ID, w)
	f.Window, f.Samples = &w, len(looks)
	good := 0
	var flaws []string
	for _, p := range looks {
		why := flaw(p.Probe)
		point := Point{T: p.T, V: 1}
		if why == "" {
			good++
		} else {
			point.V = 0
			f.Worst = cmp.Or(f.Worst, new(p.Asked()))
			flaws = append(flaws, fmt.Sprintf("%.1fs %s: %s", p.Asked().Seconds(), p.On, why))
		}
		f.Series = append(f.Series, point)
	}
	f.Expected = fmt.Sprintf("%s of the answers %s", bs, f.Expected)
	f.Details = bounded(flaws)
	if len(looks) < max(1, f.MinSamples) {
		f.unclear(fmt.Sprintf("%s in the window, %d are needed", plural(len(looks), "look"), max(1, f.MinSamples)))
		return
	}
	share := float64(good) / float64(len(looks))
	f.Measured = fmt.Sprintf("%d of %d", good, len(looks))
	f.Margin = bs.margin(share)
	f.Verdict, f.Why = Pass, fmt.Sprintf("%s of %d answers were as expected", percent(share), len(looks))
	if !bs.met(share) {
		f.Verdict = Fail
		f.Why = fmt.Sprintf("%d of %d answers were as expected, not %s", good, len(looks), bs)
		if len(flaws) > 0 {
			f.Why += "; at " + flaws[0]
		}
	}
}

// tooLate refuses a look at an instant that its phase does not reach. Recovery
// may end early as well, and is then inconclusive.
func tooLate(d *Declared, at spec.Duration) {
	ph := d.Scenario.Spec.Phases
	lengths := map[string]spec.Duration{"warmup": ph.Warmup, "baseline": ph.Baseline, "fault": ph.Fault, "recovery": ph.Recovery}
	during := cmp.Or(d.During, map[string]string{"steady": "baseline", "expect": "fault"}[d.Group])
	if length, ok := lengths[during]; ok && length > 0 && at >= length {
		d.fail("at", fmt.Sprintf("at: %s is not before the end of phase %s, which lasts %s", at, during, length), "")
	}
}

// shareOf are the bounds of a check on the share of looks; all of them where it
// has none.
func shareOf(c spec.Check) bounds {
	if bs := boundsOf(c); len(bs) > 0 {
		return bs
	}
	return atLeastRatio(1)
}
