// Timeouts of attempts.
//
// Answers: a dependency that is slow or hangs. Without a limit every caller
// waits as long as it likes, what is in flight grows until memory is gone, and
// the breaker sees no failures.
// Numbers: the caller's: well above the callee's p99, and low enough that all
// attempts and pauses fit into the time the caller has itself. It is a deadline
// of the context and not failsafe-go's timeout, which cancels without one: only
// a deadline can be passed on to the callee, which then stops in time too.
// Costs: whether an attempt that ran out of time was executed is unknown.
// Breaks without it: scenario psp-slow, TestTimeout. Off switch: D07.

package policy

import (
	"context"
	"time"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// timeout is the limit of one attempt, 0 for none.
type timeout time.Duration

func newTimeout(h *service.Host, limit time.Duration) timeout {
	if h.Defects.Has(defect.NoClientTimeout) {
		return 0
	}
	return timeout(limit)
}

func (t timeout) wrap(f attempt) attempt {
	if t == 0 {
		return f
	}
	return func(ctx context.Context, key string) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(t))
		defer cancel()
		return f(ctx, key)
	}
}
