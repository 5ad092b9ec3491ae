package verdict

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// Values of the Wilson interval from its formula, worked by hand for n = 10.
func TestWilson(t *testing.T) {
	for _, tt := range []struct{ ratio, n, low, high float64 }{
		{0.5, 10, 0.2366, 0.7634}, {1, 10, 0.7225, 1}, {0, 10, 0, 0.2775}, {0, 0, 0, 1},
	} {
		got := wilson(tt.ratio, tt.n)
		assert.InDelta(t, tt.low, float64(got.Low), 1e-4)
		assert.InDelta(t, tt.high, float64(got.High), 1e-4)
	}
}

func TestRanks(t *testing.T) {
	got := ranks(0.5, 100)
	assert.InDelta(t, 0.402, float64(got.Low), 1e-3)
	assert.InDelta(t, 0.598, float64(got.High), 1e-3)

	n := enoughForQuantile(0.99)
	assert.Equal(t, 381, n)
	assert.Less(t, float64(ranks(0.99, float64(n)).High), 1.0)
	assert.GreaterOrEqual(t, float64(ranks(0.99, float64(n-1)).High), 1.0, "one event less has none beyond")
}

func quantity(t *testing.T, text string) *spec.Quantity {
	q := &spec.Quantity{}
	require.NoError(t, q.FromScalar(text))
	return q
}

func TestDecide(t *testing.T) {
	least := boundsOf(spec.Check{AtLeast: quantity(t, "99%")})
	most := boundsOf(spec.Check{Below: quantity(t, "1s")})
	both := boundsOf(spec.Check{AtLeast: quantity(t, "2"), AtMost: quantity(t, "4")})
	inf := record.Float(math.Inf(1))
	for _, tt := range []struct {
		name string
		bs   bounds
		in   Interval
		want Verdict
	}{
		{"all of it meets a floor", least, Interval{0.99, 1}, Pass},
		{"some of it does not", least, Interval{0.98, 1}, Inconclusive},
		{"none of it does", least, Interval{0.9, 0.95}, Fail},
		{"without an upper end no ceiling is met", most, Interval{0.2, inf}, Inconclusive},
		{"and one is broken all the same", most, Interval{1, inf}, Fail},
		{"within both", both, Interval{2, 4}, Pass},
		{"wider than both", both, Interval{1, 5}, Inconclusive},
		{"beyond one of them", both, Interval{4.5, 5}, Fail},
		{"a value alone", both, exactly(3), Pass},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, tt.bs.decide(tt.in)) })
	}
}

func TestEnoughForRatio(t *testing.T) {
	bs := boundsOf(spec.Check{AtLeast: quantity(t, "99%")})
	for _, ratio := range []float64{1, 0.995, 0.98, 0.5} {
		n, ok := bs.enoughForRatio(ratio)
		require.True(t, ok)
		assert.NotEqual(t, Inconclusive, bs.decide(wilson(ratio, float64(n))))
		assert.Equal(t, Inconclusive, bs.decide(wilson(ratio, float64(n-1))), "%d events for %v are not the least", n, ratio)
	}
	_, ok := bs.enoughForRatio(0.99)
	assert.False(t, ok, "a ratio on the bound stays on it")
}
