// Bounded retry with backoff and jitter.
//
// Answers: a call that fails for a moment. Only what may succeed the next time
// is repeated (no answer, 500, 502, 503, 504), never a refusal, and always
// with the same Idempotency-Key, so that a call that was executed although its
// reply was lost is not executed twice.
// Numbers: 3 attempts, since a fourth hardly ever helps and each multiplies the
// load on a service in trouble; 50 and 100 ms between them, each 20 % more or
// less, so that callers do not come back in step; 1.2 s per attempt, above the
// 1.1 s payments needs with both of its providers; the saga's 3 s over all.
// Costs: up to three times the calls while a dependency is down.
// Breaks without it: scenario psp-outage (D02, attempts without a cap, and with
// hardly a pause, until the deadline), and scenario reply-lost (D06, each
// attempt under a key of its own, which payments must take for a new charge).

package orders

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	retryAttempts  = 3
	retryDelay     = 50 * time.Millisecond
	retryMaxDelay  = 500 * time.Millisecond
	retryJitter    = 0.2
	attemptTimeout = 1200 * time.Millisecond
)

type retry struct {
	policy failsafe.Executor[any]
	newKey bool // D06
}

func newRetry(h *service.Host, edge string) *retry {
	retries := h.Counter("retry_attempts_total", "Calls repeated, not counting first attempts.", "edge").WithLabelValues(edge)
	exhausted := h.Counter("retries_exhausted_total", "Calls given up after the last attempt.", "edge").WithLabelValues(edge)
	b := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return call.Unavailable(err) }).
		WithMaxAttempts(retryAttempts).
		WithBackoff(retryDelay, retryMaxDelay).
		WithJitterFactor(retryJitter).
		ReturnLastFailure().
		OnRetry(func(failsafe.ExecutionEvent[any]) { retries.Inc() }).
		OnRetriesExceeded(func(failsafe.ExecutionEvent[any]) { exhausted.Inc() })
	if h.Defects.Has(defect.UncappedRetry) {
		b = b.WithMaxAttempts(-1).WithBackoff(retryDelay/2, retryDelay)
	}
	return &retry{
		policy: failsafe.With[any](b.Build(), timeout.New[any](attemptTimeout)),
		newKey: h.Defects.Has(defect.RetryWithoutKey),
	}
}

// do calls f until it succeeds, is refused, or attempts or ctx are used up.
func (r *retry) do(ctx context.Context, key string, f func(ctx context.Context, key string) error) error {
	return r.policy.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
		k := key
		if r.newKey && e.Attempts() > 1 {
			k = fmt.Sprintf("%s.retry%d", key, e.Attempts())
		}
		return f(e.Context(), k)
	})
}
