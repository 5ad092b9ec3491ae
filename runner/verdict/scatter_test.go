package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Where nothing changed but runs scatter, some of twenty measures is called
// different once in twenty comparisons at most, however unlike the two sides
// scatter and however few runs there are.
func TestScatterOfRunsIsNoDifference(t *testing.T) {
	t.Parallel()
	const comparisons, metrics = 200, 20
	chance := rand.New(rand.NewPCG(1, 2))
	side := func(n int, scatter, mean float64) (runs []Sample) {
		for range n {
			s := Sample{values: map[metric]sampled{}, judge: &Judge{}}
			for i := range metrics {
				v := mean * math.Exp(scatter*chance.NormFloat64())
				s.add(metric{name: fmt.Sprint(i), less: Better, more: Worse}, sampled{slices: []float64{v, v, v, v, v, v, v, v}})
			}
			runs = append(runs, s)
		}
		return runs
	}
	told := func(na, nb int, sa, sb, slower float64) (differ int) {
		for range comparisons {
			if slices.ContainsFunc(Compare(side(na, sa, 1), side(nb, sb, slower), 0).Measures, func(m Measure) bool { return m.Effect != Unclear }) {
				differ++
			}
		}
		return differ
	}
	for _, tt := range []struct {
		na, nb int
		sa, sb float64
	}{{3, 3, 0.2, 0.2}, {3, 5, 0.3, 0.05}, {5, 5, 0.1, 0.4}, {10, 10, 0.2, 0.2}} {
		assert.LessOrEqual(t, told(tt.na, tt.nb, tt.sa, tt.sb, 1), comparisons*5/100, "%+v", tt)
	}
	assert.Greater(t, told(5, 5, 0.05, 0.05, 2), comparisons*99/100, "and what is twice as slow is found")
}
