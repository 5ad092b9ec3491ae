package verdict

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

func (b *breaker) trials(w *watch, opened time.Duration) claim {
	if b.TrialCallsAtMost == 0 {
		return claim{}
	}
	most, at, caller := 0, time.Duration(0), ""
	for _, instance := range slices.Sorted(maps.Keys(w.byCaller)) {
		if n, begun := w.largestBurst(w.byCaller[instance], opened); n > most {
			most, at, caller = n, begun, instance
		}
	}
	c := claim{verdict: Pass, measured: fmt.Sprintf("at most %s at a time", plural(most, "trial call"))}
	if most == 0 && w.until()-opened > 5*time.Second {
		c.measured = "no trial call"
	}
	c.margin = against(float64(most), float64(b.TrialCallsAtMost))
	if most > 0 {
		c.worst = &at
	}
	if most > b.TrialCallsAtMost {
		c.verdict = Fail
		of := ""
		if len(w.byCaller) > 1 {
			of = " of " + caller
		}
		c.why = fmt.Sprintf("the open breaker on %s let %d calls%s through at once at %s, at most %d are allowed",
			b.Edge, most, of, short(at), b.TrialCallsAtMost)
	}
	return c
}

// largestBurst counts the calls of one instance while the breaker is open. Once
// a call has succeeded the breaker closes by right, and what follows is no trial.
func (w *watch) largestBurst(of calls, opened time.Duration) (most int, at time.Duration) {
	end := w.until()
	open := of.in(Window{opened, end})
	for _, c := range open {
		if c.ok {
			end = min(end, c.end)
		}
	}
	n, begun, last := 0, time.Duration(0), time.Duration(math.MinInt64)
	for _, c := range open.in(Window{opened, end}) {
		if n == 0 || c.at-last > burstGap {
			n, begun = 0, c.at
		}
		n, last = n+1, c.at
		if n > most {
			most, at = n, begun
		}
	}
	return most, at
}
