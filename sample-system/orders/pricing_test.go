package orders

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestPricingStartsAnew: the second call of three fails once. Each item is
// reserved and charged once; under D32 one of them twice.
func TestPricingStartsAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		defects []string
		lines   int
	}{
		"a fresh list": {nil, 3},
		"D32 keeps it": {[]string{defect.RetryKeepsState}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			p.setFault(func(route string, n int) string {
				if route == routeProduct && n == 2 {
					return fails
				}
				return ""
			})
			o := parts(t, servicetest.Host(t, tt.defects...), p, "orders-1")
			s, err := o.place(t.Context(), Place{ID: "a", Customer: "ada", Items: []Item{{"tea", 1}, {"coffee", 1}, {"mate", 1}}})
			require.NoError(t, err)
			assert.Equal(t, stateConfirmed, s.State)
			assert.Len(t, s.Lines, tt.lines)
			assert.Len(t, p.lines["a"], tt.lines)
			assert.Equal(t, int64(tt.lines)*1999, p.charged["a"])
		})
	}
}

// TestUnpriced: without prices nothing is begun, and the answer says so.
func TestUnpriced(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		item string
		do   string
		code int
	}{
		"unknown product": {"nothing", "", 422},
		"catalog broken":  {"tea", fails, 503},
		"answer lost":     {"tea", loses, 503},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			p.setFault(always(routeProduct, tt.do))
			o := parts(t, servicetest.Host(t), p, "orders-1")
			_, err := o.place(t.Context(), Place{ID: "a", Customer: "ada", Items: []Item{{tt.item, 1}}})
			var problem service.Problem
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, tt.code, problem.Status)
			require.NotNil(t, problem.Executed)
			assert.False(t, *problem.Executed)
			assert.Empty(t, stateOf(t, o.log, "a"))
			assert.Zero(t, p.called(routeReserve))
		})
	}
}
