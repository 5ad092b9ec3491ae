// What may be repeated.
//
// Answers: a failure that may be gone the next time (no answer, 500, 502, 503,
// 504), as against a refusal, which would be the same again: repeating a 400 or
// 409 only adds load, and after a final answer may do harm.
// Numbers: none.
// Costs: none.
// Breaks without it: scenarios declined-cards and blip, TestRetryable. Off switches: D04, refusals are repeated too; D05, nothing is.

package policy

import (
	"errors"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// retryable says whether an attempt that failed like this is repeated.
func retryable(h *service.Host) func(error) bool {
	switch {
	case h.Defects.Has(defect.NeverRetry):
		return func(error) bool { return false }
	case h.Defects.Has(defect.RetryRefusals):
		return func(err error) bool {
			var refused *call.StatusError
			return errors.As(err, &refused) || call.Unavailable(err)
		}
	default:
		return call.Unavailable
	}
}
