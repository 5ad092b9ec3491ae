// Bounded retry.
//
// Answers: a call that fails for a moment. It is repeated a few times, each
// time by the balancer's choice at another instance where there is one; then the
// failure is the caller's to handle.
// Numbers: the caller's; 3 attempts are usual, since a fourth hardly ever helps
// and each multiplies the load on a service in trouble. What is repeated is in
// retryable.go, when in backoff.go, how much of it all in all in budget.go, by
// which layer in layers.go, and under which key in key.go.
// Costs: up to three times the calls of an operation while a dependency is down.
// Breaks without it: scenario commit-stuck, TestRetryIsCapped. Off switch: D02,
// attempts without a cap and without a budget, until the caller's deadline.

package policy

import (
	"context"
	"errors"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

var errNoBudget = errors.New("retry budget exhausted")

type retry struct {
	edge               string
	policy             failsafe.Executor[any]
	budget             *budget // nil: no limit
	retries, exhausted prometheus.Counter
}

// newRetry is the retry of an edge, nil if there is nothing to repeat.
func newRetry(h *service.Host, edge string, r *Retry, extra *budget) *retry {
	r, budgeted := layer(h, r)
	if r == nil {
		return nil
	}
	again := retryable(h)
	exhausted := h.Counter("retries_exhausted_total", "Calls given up after the last attempt, or for lack of budget.", "edge").WithLabelValues(edge)
	b := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return again(err) }).
		WithMaxAttempts(r.Attempts).
		WithDelayFunc(delays(h, r)).
		ReturnLastFailure().
		OnRetriesExceeded(func(failsafe.ExecutionEvent[any]) { exhausted.Inc() })
	if h.Defects.Has(defect.UncappedRetry) {
		b, budgeted = b.WithMaxAttempts(-1), false
	}
	if !budgeted {
		extra = nil
	}
	return &retry{
		edge: edge, policy: failsafe.With[any](b.Build()), budget: extra, exhausted: exhausted,
		retries: h.Counter("retry_attempts_total", "Calls repeated, not counting first attempts.", "edge").WithLabelValues(edge),
	}
}

// run makes attempts, numbered from 1, until one needs no repetition.
func (r *retry) run(ctx context.Context, f func(ctx context.Context, n int) (any, error)) (any, error) {
	if r == nil {
		return f(ctx, 1)
	}
	return r.policy.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[any]) (any, error) {
		ctx, n := e.Context(), e.Attempts()
		if n == 1 {
			return f(ctx, n)
		}
		if r.budget != nil && !r.budget.spend() {
			r.exhausted.Inc()
			return nil, errNoBudget
		}
		r.retries.Inc()
		tracing.Event(ctx, "retry", "edge", r.edge, "attempt", n, "cause", e.LastError())
		return f(tracing.WithResend(ctx, n-1), n)
	})
}
