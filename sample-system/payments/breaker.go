// Circuit breaker, one per provider.
//
// Answers: a provider that keeps failing. Waiting for its timeout each time
// slows every checkout down and loads a provider that is already in trouble;
// an open breaker goes to the backup at once.
// Numbers: 5 failures among the last 10 calls open it, which takes about half
// a second at 40 checkouts/s, and a single blip does not. After 2 s one call
// at a time may try; its success closes the breaker.
// Costs: for up to 2 s after the provider has recovered it is not used.
// Breaks without it: scenario psp-slow. Off switch: D10, never half-opens.

package payments

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	breakerFailures = 5
	breakerWindow   = 10
	breakerDelay    = 2 * time.Second
	breakerTrials   = 1
	never           = 365 * 24 * time.Hour
)

func newBreaker(h *service.Host, edge string) circuitbreaker.CircuitBreaker[any] {
	delay := breakerDelay
	if h.Defects.Has(defect.BreakerStaysOpen) {
		delay = never
	}
	b := circuitbreaker.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return call.Unavailable(err) }). // a refusal is a healthy answer
		WithFailureThresholdRatio(breakerFailures, breakerWindow).
		WithSuccessThreshold(breakerTrials).
		WithDelay(delay).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			h.Logger.Info("breaker changed", "edge", edge, "from", e.OldState.String(), "to", e.NewState.String())
		}).
		Build()
	h.GaugeFunc("breaker_state", "0 closed, 1 half-open, 2 open.", prometheus.Labels{"edge": edge}, func() float64 {
		switch b.State() {
		case circuitbreaker.ClosedState:
			return 0
		case circuitbreaker.HalfOpenState:
			return 1
		default:
			return 2
		}
	})
	return b
}
