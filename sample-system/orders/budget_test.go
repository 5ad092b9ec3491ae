package orders

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/servicetest"
)

// TestSlowPayments: payments needs 500 ms. That is within its budget, so the
// order succeeds; under D08 it is given up while payments goes on.
func TestSlowPayments(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects  []string
		state    state
		attempts int
		told     time.Duration // at least
	}{
		"patient":       {nil, stateConfirmed, 1, attemptTime - 100*time.Millisecond},
		"D08 impatient": {[]string{defect.ImpatientCaller}, stateRefunding, retryAttempts, attemptTime},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			p.delay(routeCharge, 500*time.Millisecond)
			o := parts(t, servicetest.Host(t, tt.defects...), p, "orders-1")
			s, err := o.place(t.Context(), placed("a"))
			require.NoError(t, err)
			assert.Equal(t, tt.state, s.State)
			assert.Equal(t, tt.attempts, p.called(routeCharge))
			assert.GreaterOrEqual(t, p.toldAt(routeCharge), tt.told)
		})
	}
}

// TestSagaTime: a saga ends in time for its caller, and not with its caller.
func TestSagaTime(t *testing.T) {
	b := newBudget(defect.Of())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	timed, end := b.saga(ctx)
	defer end()
	at, _ := timed.Deadline()
	assert.InDelta(t, time.Second-answerTime, time.Until(at), float64(50*time.Millisecond))
	cancel()
	assert.NoError(t, timed.Err())

	timed, end2 := b.saga(t.Context())
	defer end2()
	at, _ = timed.Deadline()
	assert.InDelta(t, sagaTime, time.Until(at), float64(50*time.Millisecond))
}

// TestHangingCallee: an attempt ends, and the saga with its budget. It has the
// machine to itself, for it takes times.
func TestHangingCallee(t *testing.T) {
	p := newPartners(t)
	p.setFault(always(routeCharge, hangs))
	o := parts(t, servicetest.Host(t), p, "orders-1")
	started := time.Now()
	s, err := o.place(t.Context(), placed("a"))
	require.NoError(t, err)
	assert.Equal(t, 503, s.Code)
	assert.Equal(t, stateRefunding, s.State)
	assert.InDelta(t, sagaTime, time.Since(started), float64(500*time.Millisecond))
}
