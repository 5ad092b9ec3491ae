// Circuit breaker.
//
// Answers: a dependency that keeps failing. Waiting for its timeout each time
// slows every operation down and loads a service that is already in trouble; an
// open breaker refuses at once, and the caller goes elsewhere or says so.
// Numbers: 5 failures among the last 10 attempts open it, which takes about half
// a second at 20 calls/s and which a single blip does not do. After 2 s, longer
// than any attempt takes, one call at a time may try; its success closes the
// breaker.
// Costs: for up to 2 s after the dependency has recovered it is not used.
// Breaks without it: scenario psp-slow, TestBreaker. Off switch: D10, never
// half-opens.

package policy

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

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

// breaker is that of an edge; without a CircuitBreaker it lets everything pass.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
	counts func(error) bool
}

// newBreaker is the breaker that an edge belongs to.
func newBreaker(h *service.Host, edge string, on bool) breaker {
	if !on {
		return breaker{}
	}
	scope := breakerScope(h, edge)
	b := service.Shared(h, "breaker of "+scope, func() circuitbreaker.CircuitBreaker[any] { return buildBreaker(h, scope) })
	service.Shared(h, "breaker gauge of "+edge, func() bool {
		h.GaugeFunc("breaker_state", "0 closed, 1 half-open, 2 open.", prometheus.Labels{"edge": edge}, func() float64 { return stateOf(b) })
		return true
	})
	return breaker{b, countable(h)}
}

func (b breaker) wrap(f attempt) attempt {
	if b.CircuitBreaker == nil {
		return f
	}
	return func(ctx context.Context, key string) (any, error) {
		if ctx.Err() != nil { // will not be sent, and says nothing about the callee
			return f(ctx, key)
		}
		if !b.TryAcquirePermit() {
			return nil, circuitbreaker.ErrOpen
		}
		got, err := f(ctx, key)
		b.record(err)
		return got, err
	}
}

// record takes note of how an attempt ended. One that its caller has called off
// says nothing, and failsafe-go knows success and failure only: so it does not
// count, and a trial must be repeated after another delay.
func (b breaker) record(err error) {
	switch {
	case b.counts(err):
		b.RecordFailure()
	case !errors.Is(err, context.Canceled):
		b.RecordSuccess()
	case b.IsHalfOpen():
		b.RecordFailure()
	}
}

func buildBreaker(h *service.Host, scope string) circuitbreaker.CircuitBreaker[any] {
	delay := breakerDelay
	if h.Defects.Has(defect.BreakerStaysOpen) {
		delay = never
	}
	changes := h.Counter("breaker_changes_total", "Changes of a breaker to a state.", "edge", "to")
	return circuitbreaker.NewBuilder[any]().
		WithFailureThresholdRatio(breakerFailures, breakerWindow).
		WithSuccessThreshold(breakerTrials).
		WithDelay(delay).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			changes.WithLabelValues(scope, e.NewState.String()).Inc()
			h.Logger.Info("breaker changed", "edge", scope, "from", e.OldState.String(), "to", e.NewState.String())
		}).
		Build()
}

func stateOf(b circuitbreaker.CircuitBreaker[any]) float64 {
	switch b.State() {
	case circuitbreaker.ClosedState:
		return 0
	case circuitbreaker.HalfOpenState:
		return 1
	default:
		return 2
	}
}
