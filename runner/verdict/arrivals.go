package verdict

import (
	"slices"
	"time"

	"squall/runner/record"
)

// arrivals is the load as the generator was asked for it: rates that hold from
// an instant of the run on, the first of them from its beginning.
type arrivals []record.Stage

// arrivalsOf is what the record says; began are the iterations, the first of which
// is where the generator's own time begins.
func arrivalsOf(run *record.Run, began calls) (out arrivals) {
	var zero time.Duration
	for _, e := range run.Loads {
		if e.Arrival > 0 {
			out, zero = append(arrivals{{Arrival: e.Arrival}}, e.Stages...), e.T
		}
	}
	if len(began) > 0 {
		zero = began[0].at
	}
	for i := 1; i < len(out); i++ {
		out[i].At += zero
	}
	return out
}

// over are the parts of a window and their rates.
func (a arrivals) over(w Window) (parts []Window, rates []float64) {
	for i, s := range a {
		part := Window{max(w.From, s.At), w.To}
		if i+1 < len(a) {
			part.To = min(w.To, a[i+1].At)
		}
		if part.length() > 0 {
			parts, rates = append(parts, part), append(rates, s.Arrival)
		}
	}
	return parts, rates
}

// due is how many iterations were to begin in a window.
func (a arrivals) due(w Window) (n float64) {
	parts, rates := a.over(w)
	for i, p := range parts {
		n += rates[i] * p.length().Seconds()
	}
	return n
}

// stages are the windows of the run between the first change of the rate and the last.
func (a arrivals) stages() (parts []Window, rates []float64) {
	if len(a) < 3 {
		return nil, nil
	}
	return a.over(Window{a[1].At, a[len(a)-1].At})
}

// staged reports whether the load was to change.
func staged(run *record.Run) bool {
	return slices.ContainsFunc(run.Loads, func(e record.LoadEvent) bool { return len(e.Stages) > 0 })
}
