package verdict

// mostEvents is how many times as many events as so far, per second, the rest of
// a phase is thought to bring at most.
const mostEvents = 10

// lost reports that a share of events is broken for good: also if all events
// that the rest of the phase may bring were as its one bound wants them. Only
// that ends a phase early, so that looking often makes no verdict likelier.
func (v *View) lost(f *Finding, bs bounds) bool {
	rest := v.planned(f.During) - f.Window.length()
	if f.Verdict != Fail || f.Tally == nil || len(bs) != 1 || rest < 0 {
		return false
	}
	more := mostEvents * f.Tally.Total * rest.Seconds() / f.Window.length().Seconds()
	best := Tally{Good: f.Tally.Good, Total: f.Tally.Total + more}
	if bs[0].lower {
		best.Good += more
	}
	return bs.decide(wilson(best.ratio(), best.Total)) == Fail
}
