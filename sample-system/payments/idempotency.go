// Idempotency keys.
//
// Answers: a charge whose reply is lost. The caller cannot know whether it was
// executed, so it asks again with the same key and gets the same answer
// without a second charge; one that asks while the first is still running
// waits for it.
// Numbers: none; results are kept for good, as the books are.
// Costs: two small transactions per charge, and a row per key.
// Breaks without it: scenario reply-lost (a charge executed, its reply lost).
// Off switch: D06 makes the caller change its key, see orders/retry.go.

package payments

import (
	"context"

	"golang.org/x/sync/singleflight"
)

type charges struct {
	book      *book
	provider  *fallback
	reconcile func() // there is something to void or refund
	running   singleflight.Group
}

// charge takes the money at most once per key.
func (c *charges) charge(ctx context.Context, key string, req ChargeRequest) (result, error) {
	// A caller that hangs up does not stop a charge: its end must be known.
	// Each provider's timeout bounds it.
	ctx = context.WithoutCancel(ctx)
	v, err, _ := c.running.Do(key, func() (any, error) {
		r, found, err := c.book.result(ctx, key, req.Order)
		if err != nil || found {
			return r, err
		}
		r, err = c.provider.charge(ctx, key, req)
		c.reconcile()
		return r, err
	})
	if err != nil {
		return result{}, err
	}
	return v.(result), nil
}
