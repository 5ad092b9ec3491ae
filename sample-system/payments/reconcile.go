// Reconciliation with the providers.
//
// Answers: a charge whose reply was lost may have been executed, and a refund
// must reach the provider however long that is down. Both are rows that stay
// until the provider has confirmed: a void makes an executed charge undone and
// a late one refused.
// Numbers: 16 rows a round keep a burst of a few hundred unknown charges to
// some seconds; the delay after failures grows from 100 ms to 2 s per row.
// Costs: money of a lost charge is out of the customer's hands until its void.
// Breaks without it: scenario psp-slow (books of the provider and of
// payments differ). No off switch.

package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

const (
	reconcileBatch    = 16
	reconcileInterval = 200 * time.Millisecond // between rounds; a wake-up is immediate
)

type reconciler struct {
	h        *service.Host
	book     *book
	provider *fallback
	pause    backoff.Backoff
	wakeup   chan struct{}
}

func newReconciler(h *service.Host, b *book, f *fallback) *reconciler {
	return &reconciler{
		h: h, book: b, provider: f,
		pause:  backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second},
		wakeup: make(chan struct{}, 1),
	}
}

func (r *reconciler) wake() { backoff.Signal(r.wakeup) }

func (r *reconciler) run(ctx context.Context) error {
	for {
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.h.Logger.Error("reconciling failed", "error", err)
		}
		if backoff.Wait(ctx, reconcileInterval, r.wakeup) != nil {
			return nil
		}
	}
}

// round sends what is due, oldest first and one after the other.
func (r *reconciler) round(ctx context.Context) error {
	due, err := attempts(ctx, r.book.db.Read, `WHERE state IN ('void', 'refund') AND due <= ? ORDER BY due LIMIT ?`,
		time.Now().UnixNano(), reconcileBatch)
	if err != nil {
		return fmt.Errorf("find reversals: %w", err)
	}
	for _, a := range due {
		if err := r.reverse(ctx, a); err != nil {
			return err
		}
	}
	if len(due) == reconcileBatch {
		r.wake()
	}
	return nil
}

func (r *reconciler) reverse(ctx context.Context, a attempt) error {
	path, done := "/voids", attemptVoided
	if a.state == attemptRefund {
		path, done = "/refunds", attemptRefunded
	}
	err := r.provider.named(a.provider).reverse(ctx, path, a)
	if err == nil {
		return r.book.settle(ctx, a, done)
	}
	if !errors.Is(err, circuitbreaker.ErrOpen) {
		r.h.Logger.Warn("reversal failed, will be repeated", "op", a.order, "attempt", a.id, "failures", a.failures+1, "error", err)
	}
	return r.book.postpone(ctx, a, r.pause.Delay(a.failures+1))
}

// postpone makes an attempt's reversal due again after d.
func (b *book) postpone(ctx context.Context, a attempt, d time.Duration) error {
	_, err := b.db.Write.ExecContext(ctx, `UPDATE attempts SET due = ?, failures = failures + 1 WHERE id = ?`,
		time.Now().Add(d).UnixNano(), a.id)
	if err != nil {
		return fmt.Errorf("postpone reversal of %s: %w", a.id, err)
	}
	return nil
}

// voidInterrupted marks the attempts that a crash has cut off: nobody knows
// how they ended.
func (b *book) voidInterrupted(ctx context.Context) error {
	_, err := b.db.Write.ExecContext(ctx, `UPDATE attempts SET state = ? WHERE state = ?`, attemptVoid, attemptSent)
	if err != nil {
		return fmt.Errorf("void interrupted attempts: %w", err)
	}
	return nil
}
