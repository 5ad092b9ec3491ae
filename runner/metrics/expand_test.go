package metrics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
)

func TestExpand(t *testing.T) {
	for expr, want := range map[string]string{
		"rate(x[$window])":                       "rate(x[12s] anchored)",
		"sum(increase(x{a=\"b\"}[$window]))":     "sum(increase(x{a=\"b\"}[12s] anchored))",
		"avg_over_time(x[$window])":              "avg_over_time(x[12s])",
		"rate(x[5s])":                            "rate(x[5s])",
		"max_over_time(rate(x[2s])[$window:1s])": "max_over_time(rate(x[2s])[12s:1s])",
		"rate(x[$window] smoothed)":              "rate(x[12s] smoothed)",
		"max_over_time(x[$window:$window])":      "max_over_time(x[12s:12s])",
		"x offset $window":                       "x offset 12s",
		"x offset -$window":                      "x offset -12s",
		"x[5s:1s] offset $window":                "x[5s:1s] offset 12s",
		"sum(increase(x[$window])) / $window":    "sum(increase(x[12s] anchored)) / 12s",
		`rate(x{a="$window",b='$window'}[1s])`:   `rate(x{a="$window",b="$window"}[1s])`,
		"label_replace(x, `a`, `$1`, `b`, `.`)":  "label_replace(x, \"a\", \"$1\", \"b\", \".\")",
		`x{a="\"$window"} offset $window`:        `x{a="\"$window"} offset 12s`,
		"x # over $window":                       "x",
	} {
		got, err := metrics.Expand(expr, 12*time.Second)
		require.NoError(t, err, expr)
		assert.Equal(t, want, got)
	}
}

func TestIncrease(t *testing.T) {
	for expr, want := range map[string]string{
		"sum(x)":                       "sum(increase(x[12s] anchored))",
		`sum(x{code!~"5.."}) - sum(y)`: `sum(increase(x{code!~"5.."}[12s] anchored)) - sum(increase(y[12s] anchored))`,
		"sum(increase(x[$window]))":    "sum(increase(x[12s] anchored))",
	} {
		got, err := metrics.Increase(expr, 12*time.Second)
		require.NoError(t, err, expr)
		assert.Equal(t, want, got)
	}
	_, err := metrics.Increase("sum(rate(x[5m]))", time.Second)
	assert.ErrorContains(t, err, "without $window")
}

func TestParseErrorsSayWhereAndWhat(t *testing.T) {
	for expr, want := range map[string]string{
		"histogram_quantil(0.9, x)":    `1:1: parse error: unknown function with name "histogram_quantil" (did you mean "histogram_quantile"?)`,
		"up{":                          "1:4",
		"rate(x[$windo])":              `1:8: parse error: unknown variable "$windo" (did you mean "$window"?)`,
		"a +\n  rate(x[$windows])":     `2:10: parse error: unknown variable "$windows" (did you mean "$window"?)`,
		"rate(x[$__rate_interval])":    `unknown variable "$__rate_interval" (there is only "$window")`,
		"rate(x[$window]) nonsense":    "1:18",
		"x $window":                    `"$window"`,
		"x @ $window":                  "$window",
		"rate(x{a=\"$window}[$windo])": "unterminated",
	} {
		assert.ErrorContains(t, metrics.Parse(expr), want, expr)
	}
	assert.NoError(t, metrics.Parse("rate(x[$window])"))
	_, err := metrics.Expand("rate(x[$window])", time.Microsecond)
	assert.ErrorContains(t, err, "a millisecond")
}
