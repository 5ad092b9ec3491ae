package metrics_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
)

func TestEstimateOf(t *testing.T) {
	for _, tt := range []struct {
		expr  string
		shape metrics.Shape
		q     float64
		p50   string // the same with another quantile
		up    string // the share of events up to 2
	}{
		{"histogram_quantile(0.99, sum(rate(d[8s])))", metrics.Quantile, 0.99, "histogram_quantile(0.5, sum(rate(d[8s])))",
			"histogram_fraction(-Inf, 2, sum(rate(d[8s])))"},
		{"(histogram_quantile(0.99, rate(d[8s])) * 1000) / 10", metrics.Quantile, 0.99, "(histogram_quantile(0.5, rate(d[8s])) * 1000) / 10",
			"histogram_fraction(-Inf, 0.02, rate(d[8s]))"},
		{"max(histogram_quantile(0.9, sum by (le) (rate(d_bucket[8s])))) * 1000", metrics.Quantile, 0.9,
			"max(histogram_quantile(0.5, sum by (le) (rate(d_bucket[8s])))) * 1000", ""},
		{"1 - histogram_quantile(0.99, rate(d[8s]))", metrics.Exact, 0, "", ""},
		{"histogram_quantile(scalar(x), rate(d[8s]))", metrics.Exact, 0, "", ""},
		{"histogram_quantile(1, rate(d[8s]))", metrics.Exact, 0, "", ""},
		{`sum(rate(r_total{code="500"}[8s])) / sum(rate(r_total[8s]))`, metrics.Share, 0, "", ""},
		{`1 - (sum(increase(r_total{ok="no"}[8s])) / sum(increase(r_total[8s])))`, metrics.Share, 0, "", ""},
		{"histogram_fraction(0, 0.3, sum(rate(d[8s])))", metrics.Share, 0, "", ""},
		{"time() / sum(rate(r_total[8s]))", metrics.Exact, 0, "", ""},
		{"sum(rate(bytes_total[8s])) / sum(rate(r_total[8s]))", metrics.Exact, 0, "", ""},
		{"sum(queue_depth) / sum(queue_depth)", metrics.Exact, 0, "", ""},
		{"2 - sum(rate(r_total[8s])) / sum(rate(r_total[8s]))", metrics.Exact, 0, "", ""},
		{"max_over_time(queue_depth[8s])", metrics.Exact, 0, "", ""},
	} {
		t.Run(tt.expr, func(t *testing.T) {
			e, err := metrics.EstimateOf(tt.expr)
			require.NoError(t, err)
			assert.Equal(t, tt.shape, e.Shape)
			assert.Equal(t, tt.q, e.Quantile)
			if tt.p50 != "" {
				assert.Equal(t, tt.p50, e.At(0.5))
				assert.NotEqual(t, tt.p50, e.At(tt.q), "the expression itself stays as it was")
			}
			if tt.up == "" {
				assert.Nil(t, e.UpTo, "there is no one distribution")
			} else {
				assert.Equal(t, tt.up, e.UpTo(2))
			}
		})
	}
}
