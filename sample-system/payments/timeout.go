// Timeouts of provider calls.
//
// Answers: a provider that is slow or hangs. Without a limit every checkout
// waits as long as the provider likes, and the breaker sees no failures.
// Numbers: a provider answers in a few ms; 400 ms is far above its p99 and
// leaves time for the backup, which gets 700 ms because nobody is left to ask
// after it. Together they stay below the 1.2 s that orders waits per attempt.
// Costs: a charge that takes longer counts as unknown and has to be voided.
// Breaks without it: scenario psp-slow. Off switch: D07.

package payments

import (
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"

	"squall/sample-system/internal/defect"
)

const (
	primaryTimeout = 400 * time.Millisecond
	backupTimeout  = 700 * time.Millisecond
)

// timeouts is the policy for one provider, none under D07.
func timeouts(limit time.Duration, defects defect.Set) []failsafe.Policy[any] {
	if defects.Has(defect.NoClientTimeout) {
		return nil
	}
	return []failsafe.Policy[any]{timeout.New[any](limit)}
}
