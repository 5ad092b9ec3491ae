package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// longestSilence of a source: after it no value of the source stands any more,
// so that a question about it is answered by the others alone.
const longestSilence = 2 * time.Second

// scraped wants data from every source, and all the time from those that no
// fault is aimed at.
func (j *Judge) scraped(v *View) Finding {
	f := law("scrapes", "metrics from every source, all along")
	seen := map[string][]time.Duration{}
	if j.scenario.Spec.Load.Given() {
		seen["k6"] = nil
	}
	for name, s := range j.system.Spec.Services {
		if s.Metrics != "" {
			seen[name] = nil
		}
	}
	if j.system.Spec.Prometheus != nil {
		seen["prometheus"] = nil
	}
	for _, s := range v.Run.Scrapes {
		if s.Up {
			seen[s.Source] = append(seen[s.Source], v.Run.T(s.At))
			f.Samples++
		}
	}
	w, _, judged := v.phase("run")
	var silent, holes []string
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if len(seen[name]) == 0 {
			silent = append(silent, name)
		} else if from, length := longestGap(seen[name], w); judged && length > longestSilence && !j.aimedAt(name) {
			holes = append(holes, fmt.Sprintf("%s gave no metrics for %s from %.1fs on", name, short(length), from.Seconds()))
		}
	}
	f.Measured, f.Details = fmt.Sprintf("%d of %d sources", len(seen)-len(silent)-len(holes), len(seen)), bounded(holes)
	switch {
	case j.feedErr != nil:
		f.Verdict, f.Why = Error, j.feedErr.Error()
	case len(silent) > 0:
		f.Pending = v.Live()
		f.unclear("no metrics from " + strings.Join(silent, ", "))
	case len(holes) > 0:
		f.unclear(holes[0])
	default:
		f.Why = "every source gave metrics"
	}
	return f
}

// longestGap is the longest part of the window without any of the instants,
// which are in order.
func longestGap(at []time.Duration, w Window) (from, length time.Duration) {
	last := w.From
	for _, t := range append(slices.Clone(at), w.To) {
		if t = min(t, w.To); t-last > length {
			from, length = last, t-last
		}
		last = max(last, t)
	}
	return from, length
}
