package orders

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/servicetest"
)

// TestLostAnswer: stock whose reservation was executed and its answer lost is
// given back, also when the attempts after it were not even sent; under D20 it
// stays taken.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects     []string
		reservation string
	}{
		"undone":       {nil, "undone"},
		"D20 keeps it": {[]string{defect.TimeoutMeansFailed}, "done"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			p.setFault(always(routeReserve, loses))
			o := parts(t, servicetest.Host(t, tt.defects...), p, "orders-1")
			s, err := o.place(t.Context(), placed("a"))
			require.NoError(t, err)
			assert.Equal(t, 503, s.Code)
			runUntil(t, o.compensator.run, func() bool { return stateOf(t, o.log, "a") == stateCancelled })
			reservation, _ := p.effects("a")
			assert.Equal(t, tt.reservation, reservation)
		})
	}
}
