// Idempotency keys.
//
// Answers: a charge whose reply is lost. The caller cannot know whether it was
// executed, so it asks again with the same key, often the other instance, and
// gets the same answer without a second charge; one that asks while the first
// is still running waits for it. Whoever works on a key claims it in the
// database; a claim that has run out is taken over, and what its owner had
// under way is voided. Should that owner come back with a charge after all, the
// books have an answer already and its money goes back (book.charged).
// Numbers: a claim lasts 1.5 s; both providers together may take 1.1 s. Who
// waits looks every 20 ms. Results are kept for good, as the books are.
// Costs: three small transactions per charge, and a row per key. After the
// death of an instance its keys are answered 1.5 s later.
// Breaks without it: scenario reply-lost (a charge executed, its reply lost),
// TestChargeIsIdempotent. Off switch: D06 makes the caller change its key, see
// internal/policy/key.go.

package payments

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/store"
)

const (
	claimTime = 1500 * time.Millisecond
	claimLook = 20 * time.Millisecond
)

type charges struct {
	book     *book
	provider *fallback
	running  singleflight.Group // spares the database those who wait in the same process
}

// charge takes the money at most once per key.
func (c *charges) charge(ctx context.Context, key string, req ChargeRequest) (result, error) {
	// A caller that hangs up does not stop a charge: its end must be known.
	// Each provider's timeout bounds it.
	ctx = context.WithoutCancel(ctx)
	v, err, _ := c.running.Do(key, func() (any, error) {
		owner := rand.Text()
		r, found, err := c.claim(ctx, key, req.Order, owner)
		if err != nil || found {
			return r, err
		}
		ctx := store.Begun(ctx)
		r, err = c.provider.charge(ctx, key, req)
		if err != nil || r.status == statusUnavailable {
			err = errors.Join(err, c.book.release(ctx, key, owner))
		}
		return r, err
	})
	if err != nil {
		return result{}, err
	}
	return v.(result), nil
}

// claim waits until the key has an answer, or is ours to answer.
func (c *charges) claim(ctx context.Context, key, order, owner string) (r result, found bool, err error) {
	for {
		r, found, mine, err := c.book.claim(ctx, key, order, owner, time.Now())
		if err != nil || found || mine {
			return r, found, err
		}
		if err := backoff.Wait(ctx, claimLook, nil); err != nil {
			return result{}, false, err
		}
	}
}

// claim finds the answer to a key, or else claims the key if nobody else has.
func (b *book) claim(ctx context.Context, key, order, owner string, now time.Time) (r result, found, mine bool, err error) {
	var interrupted int64
	err = b.db.Tx(ctx, func(tx *store.Tx) error {
		interrupted = 0
		if r, found, err = resultOf(ctx, tx, key, order); err != nil || found {
			return err
		}
		n, err := tx.Exec(ctx, `INSERT INTO claims (key, owner, until) VALUES (?,?,?)
			ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE claims.until < ?`,
			key, owner, now.Add(claimTime).UnixNano(), now.UnixNano())
		if mine = n > 0; err != nil || !mine {
			return err
		}
		interrupted, err = tx.Exec(ctx, `UPDATE attempts SET state = 'void' WHERE key = ? AND state = 'sent'`, key)
		return err
	})
	if err != nil {
		return result{}, false, false, fmt.Errorf("claim charge %s: %w", key, err)
	}
	if interrupted > 0 {
		b.owes()
	}
	return r, found, mine, nil
}

// release lets the next one try without waiting for the claim's end.
func (b *book) release(ctx context.Context, key, owner string) error {
	if _, err := b.db.Exec(ctx, `DELETE FROM claims WHERE key = ? AND owner = ?`, key, owner); err != nil {
		return fmt.Errorf("release charge %s: %w", key, err)
	}
	return nil
}
