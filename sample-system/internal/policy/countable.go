// What a breaker counts as a failure.
//
// Answers: a breaker that opens because a client sends nonsense, or stays closed
// while every call hangs. A refusal (4xx) is the answer of a healthy callee; a
// timeout, a lost answer and 500, 502, 503, 504 are failures. A caller that has
// hung up, or had no time left from the start, says nothing about the callee
// (breaker.go).
// Numbers: none.
// Costs: none.
// Breaks without it: scenarios declined-cards and psp-slow, TestBreakerCounts. Off
// switch: D12, the other way round: 4xx count and timeouts do not.

package policy

import (
	"context"
	"errors"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// countable says whether an attempt that ended like this is a failure.
func countable(h *service.Host) func(error) bool {
	if h.Defects.Has(defect.BreakerMiscounts) {
		return func(err error) bool {
			var status *call.StatusError
			return errors.As(err, &status) || call.Unavailable(err) && !call.IsTimeout(err)
		}
	}
	return func(err error) bool { return call.Unavailable(err) && !errors.Is(err, context.Canceled) }
}
