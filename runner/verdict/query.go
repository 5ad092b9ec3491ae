package verdict

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"squall/runner/metrics"
	"squall/runner/record"
)

// querier asks the metrics of a run, in time since its start.
type querier struct {
	store  *metrics.Store
	engine *metrics.Engine
	zero   time.Time
}

func (q *querier) at(t time.Duration) time.Time { return q.zero.Add(t) }

// number evaluates an expression that gives one number; found is false where
// there is no data.
func (q *querier) number(ctx context.Context, expr string, t time.Duration) (v float64, found bool, err error) {
	res, err := q.engine.Instant(ctx, q.store, expr, q.at(t))
	if err != nil {
		return 0, false, err
	}
	switch len(res.Samples) {
	case 0:
		return 0, false, nil
	case 1:
		return res.Samples[0].V, true, nil
	default:
		return 0, false, fmt.Errorf("%s gives %d series, want one: sum them", expr, len(res.Samples))
	}
}

// series evaluates an expression over time. Several series are kept apart.
func (q *querier) series(ctx context.Context, expr string, w Window, step time.Duration) ([][]Point, error) {
	if w.length() < 0 {
		return nil, nil
	}
	found, err := q.engine.Range(ctx, q.store, expr, q.at(w.From), q.at(w.To), step)
	if err != nil {
		return nil, err
	}
	out := make([][]Point, len(found))
	for i, s := range found {
		for _, p := range s.Points {
			// Prometheus rounds to milliseconds; take back what that cost, so that steps stay comparable.
			n := p.T.Sub(q.at(w.From)).Round(step) / step
			out[i] = append(out[i], Point{T: w.From + n*step, V: p.V})
		}
	}
	return out, nil
}

// selectorParser reads expanded expressions.
var selectorParser = parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true})

// unknownMetrics are the metric names of an expanded expression that no source
// of the run has ever shown.
func (q *querier) unknownMetrics(ctx context.Context, expr string) ([]string, error) {
	tree, err := selectorParser.ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	all, err := q.store.Querier(0, 0)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	known, _, err := all.LabelValues(ctx, model.MetricNameLabel, nil)
	if err != nil {
		return nil, err
	}
	var unknown []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if vs, ok := n.(*parser.VectorSelector); ok && vs.Name != "" && !slices.Contains(known, vs.Name) {
			unknown = append(unknown, vs.Name)
		}
		return nil
	})
	return slices.Compact(unknown), nil
}

// increase is the exact increase of a counter, summed over its series.
func (q *querier) increase(ctx context.Context, counter string, w Window) (float64, bool, error) {
	expr, err := metrics.Increase("sum("+counter+")", w.length())
	if err != nil {
		return 0, false, err
	}
	return q.number(ctx, expr, w.To)
}

// feed adds the scrapes that are new since n and returns how many there are.
func (q *querier) feed(scrapes []record.Scrape, n int) (int, error) {
	var failed []string
	for _, s := range scrapes[n:] {
		if err := q.store.Append(s); err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) > 0 {
		return len(scrapes), fmt.Errorf("%s (%s refused)", failed[0], plural(len(failed), "scrape"))
	}
	return len(scrapes), nil
}

// absent names what an expression found nothing of.
func absent(selectors []string) string {
	if len(selectors) == 0 {
		return "the expression has no value"
	}
	return "no data for " + strings.Join(selectors, ", ")
}
