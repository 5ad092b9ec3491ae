// Blue/green switch.
//
// Answers: a release that must not run beside the old one, and must be taken
// back in a moment. Both versions are up; one decision sends every new request
// to the other. A request chooses its version when it is sent, and ends where it
// was sent to. Switching back is the same decision.
// Numbers: none; a gateway takes the decision over within milliseconds, and all
// of its requests at once.
// Costs: twice the instances for as long as one wants to be able to go back.
// Breaks without it: scenario blue-green, TestSwitch. No off switch: without it there is
// no such switch.

package gateway

import (
	"context"
	"fmt"
)

// switchTo makes a version the live one. It is no canary any more then.
func (s *split) switchTo(ctx context.Context, version string) (State, error) {
	return s.deploys.decide(ctx, s.key(), func(now *State) bool {
		if now.Live == version {
			return false
		}
		was := now.Live
		if was == "" {
			was = "whichever was there"
		}
		now.Live, now.By, now.Reason = version, "operator", fmt.Sprintf("switched from %s to %s", was, version)
		if now.Canary != nil && now.Canary.Version == version {
			now.Canary = nil
		}
		return true
	})
}
