// Exponential backoff with jitter.
//
// Answers: callers that failed together and would come back together, in step,
// upon a service that needs a moment.
// Numbers: the longest pause doubles with each attempt, from the caller's Delay
// to its MaxDelay; half of it is fixed, so that the gaps really grow, and half
// is random, so that callers spread over as long as they wait.
// Costs: an operation that is repeated takes longer by the pauses.
// Breaks without it: scenario commit-stuck, TestBackoff. Off switch: D01, no pause.

package policy

import (
	"math/rand/v2"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// delays is the pause before the next attempt of an execution.
func delays(h *service.Host, r *Retry) failsafe.DelayFunc[any] {
	if h.Defects.Has(defect.RetryWithoutBackoff) {
		return func(failsafe.ExecutionAttempt[any]) time.Duration { return 0 }
	}
	return func(e failsafe.ExecutionAttempt[any]) time.Duration { return r.pause(e.Attempts()) }
}

// pause is the one after the n-th attempt.
func (r *Retry) pause(n int) time.Duration {
	longest := r.Delay
	for i := 1; i < n && longest < r.MaxDelay; i++ {
		longest *= 2
	}
	half := min(longest, max(r.Delay, r.MaxDelay)) / 2
	return half + rand.N(half+1)
}
