package verdict

import (
	"context"
	"fmt"
	"strings"
	"time"

	"squall/runner/metrics"
	"squall/scenarios/spec"
)

// events are the good and all events of an SLO, as counters.
type events struct{ spec.SLO }

// count is how many events there were in a span that ends at T.
type count struct {
	T           time.Duration
	good, total float64
}

func (c count) ratio() float64 { return c.good / c.total }

// part is the query that tells good from all, and what it counts.
func (e events) part() (query string, bad bool) {
	if e.Good != "" {
		return e.Good, false
	}
	return e.Bad, true
}

// good turns what part counted into good events. Counters that do not exist
// yet have counted nothing.
func (e events) good(part, total float64) float64 {
	if _, bad := e.part(); bad {
		return total - part
	}
	return part
}

// over counts the events of a window.
func (e events) over(ctx context.Context, q *querier, w Window) (count, error) {
	query, _ := e.part()
	part, partExpr, err := e.number(ctx, q, query, w)
	if err != nil {
		return count{}, err
	}
	total, totalExpr, err := e.number(ctx, q, e.Total, w)
	if err != nil {
		return count{}, err
	}
	for _, expr := range []string{totalExpr, partExpr} {
		unknown, err := q.unknownMetrics(ctx, expr)
		if err != nil {
			return count{}, err
		}
		if len(unknown) > 0 {
			return count{}, absentError("no data for " + strings.Join(unknown, ", "))
		}
	}
	return count{w.To, e.good(part, total), total}, nil
}

// absentError is want of data, not a failure to ask.
type absentError string

func (e absentError) Error() string { return string(e) }

func (e events) number(ctx context.Context, q *querier, query string, w Window) (float64, string, error) {
	expr, err := metrics.Increase(query, w.length())
	if err != nil {
		return 0, "", fmt.Errorf("SLO %s: %w", e.Name, err)
	}
	v, _, err := q.number(ctx, expr, w.To)
	if err != nil {
		return 0, "", fmt.Errorf("SLO %s: %w", e.Name, err)
	}
	return v, expr, nil
}

// each counts the events of every span that ends within the window, in steps.
// Spans without any event are left out.
func (e events) each(ctx context.Context, q *querier, w Window, span, step time.Duration) ([]count, error) {
	query, _ := e.part()
	part, err := e.counted(ctx, q, query, w, span, step)
	if err != nil {
		return nil, err
	}
	total, err := e.counted(ctx, q, e.Total, w, span, step)
	if err != nil {
		return nil, err
	}
	var out []count
	for t := w.From + span; t <= w.To; t += step {
		if n := total[t]; n > 0 {
			out = append(out, count{t, e.good(part[t], n), n})
		}
	}
	return out, nil
}

func (e events) counted(ctx context.Context, q *querier, query string, w Window, span, step time.Duration) (map[time.Duration]float64, error) {
	expr, err := metrics.Increase(query, span)
	if err != nil {
		return nil, fmt.Errorf("SLO %s: %w", e.Name, err)
	}
	all, err := q.series(ctx, expr, Window{w.From + span, w.To}, step)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("SLO %s: %s gives %d series, want one: sum them", e.Name, expr, len(all))
	}
	byTime := map[time.Duration]float64{}
	for _, p := range all[0] {
		byTime[p.T] = p.V
	}
	return byTime, nil
}
