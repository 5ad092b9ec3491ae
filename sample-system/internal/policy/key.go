// One key for all attempts.
//
// Answers: a call that was executed although its reply was lost. Every attempt
// carries the Idempotency-Key of the operation, so that the callee recognises
// the repetition and answers as it did before.
// Numbers: none.
// Costs: the callee must remember keys.
// Breaks without it: scenario reply-lost, TestKey. Off switch: D06, each
// attempt has a key of its own, which the callee must take for a new command.

package policy

import (
	"fmt"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// keys gives the key of an attempt, numbered from 1; none if key is empty.
type keys func(key string, attempt int) string

func newKeys(h *service.Host) keys {
	own := h.Defects.Has(defect.RetryWithoutKey)
	return func(key string, attempt int) string {
		if own && key != "" && attempt > 1 {
			return fmt.Sprintf("%s.retry%d", key, attempt)
		}
		return key
	}
}
