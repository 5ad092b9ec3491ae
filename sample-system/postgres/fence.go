// Fencing: a primary without its lease stops.
//
// Answers: a primary that was paused, or is cut off from the bus, while the
// standby has taken over. When it goes on it must not take a write. This task
// does nothing but compare the clock with the end of the lease; it waits for no
// network, and so acts first when a paused node goes on. Between the two there
// is a second line: the former primary's writes wait for its standby
// (sync.go), which does not listen to it any more, so none is acknowledged.
// Numbers: looked at every 50 ms; an immediate stop takes about 10 ms. The
// standby takes over 400 ms after the lease's end.
// Costs: a primary that cannot reach the bus stops, although it could work.
// Breaks without it: TestFailover (pause). No off switch.

package postgres

import (
	"context"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/postgres/server"
)

const fenceEvery = 50 * time.Millisecond

// fence stops the server when it is primary and the lease is not ours.
func (a *agent) fence(ctx context.Context) error {
	for backoff.Wait(ctx, fenceEvery, nil) == nil {
		if a.node.mode() == primary && !a.record.holds() {
			a.log.Warn("lost the lease, stops")
			a.node.stop(server.Immediate)
		}
	}
	return nil
}
