package metrics

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// lookback is how long a value stands without a newer one. Prometheus' five
// minutes would keep dead processes alive.
const lookback = 2 * time.Second

// Engine evaluates PromQL over anything that can be queried like Prometheus.
type Engine struct{ eng *promql.Engine }

// NewEngine returns an engine.
func NewEngine() *Engine {
	return &Engine{eng: promql.NewEngine(promql.EngineOpts{
		MaxSamples:           50_000_000,
		Timeout:              10 * time.Second,
		LookbackDelta:        lookback,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               promParser,
	})}
}

// Result of an instant query. A scalar is one sample without labels.
type Result struct {
	Expr     string // as run
	Samples  []Sample
	Warnings []string
}

// Sample is one value with its labels.
type Sample struct {
	Labels map[string]string
	V      float64
}

// Series is one series of a range query.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Point is one value in time.
type Point struct {
	T time.Time
	V float64
}

// Instant evaluates an expanded expression at one instant. Values that are
// histograms are an error: an assertion needs a number.
func (e *Engine) Instant(ctx context.Context, q storage.Queryable, expr string, at time.Time) (Result, error) {
	expr, err := fit(ctx, q, expr, at)
	if err != nil {
		return Result{}, err
	}
	query, err := e.eng.NewInstantQuery(ctx, q, nil, expr, at)
	if err != nil {
		return Result{}, fmt.Errorf("PromQL: %w", err)
	}
	defer query.Close()
	res := query.Exec(ctx)
	if res.Err != nil {
		return Result{}, fmt.Errorf("PromQL: %w", res.Err)
	}
	out := Result{Expr: expr, Warnings: warnings(res.Warnings)}
	switch v := res.Value.(type) {
	case promql.Scalar:
		out.Samples = []Sample{{V: v.V}}
	case promql.Vector:
		for _, s := range v {
			if s.H != nil {
				return Result{}, fmt.Errorf("PromQL: %s is a histogram, not a number: use histogram_quantile or histogram_count", expr)
			}
			out.Samples = append(out.Samples, Sample{Labels: s.Metric.Map(), V: s.F})
		}
	default:
		return Result{}, fmt.Errorf("PromQL: %s is a %s, not a number", expr, res.Value.Type())
	}
	return out, nil
}

// fit takes anchor and smoothing off ranges over native histograms, which PromQL
// refuses there. Quantiles and averages do not need it: extrapolation cancels out.
func fit(ctx context.Context, q storage.Queryable, expr string, at time.Time) (string, error) {
	tree, err := promParser.ParseExpr(expr)
	if err != nil {
		return "", fmt.Errorf("PromQL: %w", err)
	}
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok || !vs.Anchored && !vs.Smoothed || err != nil {
			return nil
		}
		var hist bool
		hist, err = picksHistograms(ctx, q, vs, at)
		vs.Anchored, vs.Smoothed = vs.Anchored && !hist, vs.Smoothed && !hist
		return nil
	})
	return tree.String(), err
}

func picksHistograms(ctx context.Context, q storage.Queryable, vs *parser.VectorSelector, at time.Time) (bool, error) {
	querier, err := q.Querier(0, at.UnixMilli())
	if err != nil {
		return false, fmt.Errorf("PromQL: %w", err)
	}
	defer querier.Close()
	set := querier.Select(ctx, false, nil, vs.LabelMatchers...)
	for set.Next() {
		if typ := set.At().Iterator(nil).Next(); typ == chunkenc.ValHistogram || typ == chunkenc.ValFloatHistogram {
			return true, nil
		}
	}
	return false, set.Err()
}

func warnings(a annotations.Annotations) []string {
	warn, info := a.AsStrings("", 10, 0)
	return append(warn, info...)
}

// Range evaluates an expanded expression at every step from from to to.
// Histogram values are left out.
func (e *Engine) Range(ctx context.Context, q storage.Queryable, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	expr, err := fit(ctx, q, expr, to)
	if err != nil {
		return nil, err
	}
	query, err := e.eng.NewRangeQuery(ctx, q, nil, expr, from, to, step)
	if err != nil {
		return nil, fmt.Errorf("PromQL: %w", err)
	}
	defer query.Close()
	res := query.Exec(ctx)
	matrix, err := res.Matrix()
	if err != nil {
		return nil, fmt.Errorf("PromQL: %w", err)
	}
	var out []Series
	for _, m := range matrix {
		s := Series{Labels: m.Metric.Map()}
		for _, p := range m.Floats {
			s.Points = append(s.Points, Point{T: time.UnixMilli(p.T), V: p.F})
		}
		out = append(out, s)
	}
	return out, nil
}

// Name is the metric name of labels.
func Name(l map[string]string) string { return l[model.MetricNameLabel] }
