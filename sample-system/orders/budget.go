// Time budget.
//
// Answers: a caller that gives up before its callee does. It must fail the
// order although the callee would have succeeded, and the callee works on for
// nobody. So each wait is longer than what is waited for, and the callee is told
// how long that is (internal/deadline).
// Numbers: a client waits 5 s at the gateway; pricing and forward steps get 3 s
// of it, or what the caller has left minus 100 ms for the answer; one attempt
// gets 1.2 s, above the 1.1 s that payments needs for both of its providers. What
// a step has done may wait 1 s longer for the database: an order is refused at
// the door when that is busy, not in the middle.
// Costs: an order may take 3 s until it is refused.
// Breaks without it: scenario slow-provider, TestSlowPayments. Off switch: D08, 300 ms for an attempt,
// of which the callee is not told.

package orders

import (
	"context"
	"time"

	"squall/sample-system/internal/defect"
)

const (
	sagaTime       = 3 * time.Second
	answerTime     = 100 * time.Millisecond
	attemptTime    = 1200 * time.Millisecond
	impatientTime  = 300 * time.Millisecond // D08
	retryAttempts  = 3                      // a fourth hardly ever helps, and each adds to the load on a service in trouble
	retryDelay     = 50 * time.Millisecond
	retryMaxDelay  = 500 * time.Millisecond
	callsPerCallee = 128 // 100 orders/s, each 1.1 s at the worst
	pricingTime    = 500 * time.Millisecond
	pricingsAtOnce = 64
	recordTime     = time.Second // that an event may wait for the database
	recordPause    = 20 * time.Millisecond
)

type budget struct {
	attempt   time.Duration
	impatient bool // D08
}

func newBudget(defects defect.Set) budget {
	if defects.Has(defect.ImpatientCaller) {
		return budget{impatientTime, true}
	}
	return budget{attempt: attemptTime}
}

// saga is the context of an order's forward steps. It outlives a client that
// hangs up, which must not leave half an order, but not the time it gave.
func (b budget) saga(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(sagaTime)
	if at, ok := ctx.Deadline(); ok && at.Add(-answerTime).Before(end) {
		end = at.Add(-answerTime)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// told is the context to make one attempt in; its deadline is what the callee
// is told.
func (b budget) told(saga, attempt context.Context) (context.Context, context.CancelFunc) {
	if !b.impatient {
		return attempt, func() {}
	}
	ctx, cancel := context.WithCancel(saga) // says: there is all the time of the saga
	stop := context.AfterFunc(attempt, cancel)
	return ctx, func() { stop(); cancel() }
}
