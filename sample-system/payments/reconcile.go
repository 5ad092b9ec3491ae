// Reconciliation with the providers, by one instance.
//
// Answers: a charge whose reply was lost may have been executed, and a refund
// must reach the provider however long that is down. Both are rows that stay
// until the provider has confirmed: a void makes an executed charge undone and
// a late one refused. An attempt whose instance died before it saw its end is
// voided too. The elected leader does it, and each of its writes is fenced: one
// that was paused finds out by its first write that another one has taken over.
// Numbers: 16 rows a round keep a burst of a few hundred unknown charges to
// some seconds; the delay after failures grows from 100 ms to 2 s per row. An
// attempt is over after 1.1 s at most; after 5 s nobody is waiting for it.
// Costs: money of a lost charge is out of the customer's hands until its void;
// up to 4 s longer when the leader dies.
// Breaks without it: scenario psp-slow (books of the provider and of payments
// differ), TestLostChargeIsVoided. Off switch: of the fence, D26 in
// internal/leader/fence.go.

package payments

import (
	"context"
	"fmt"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const (
	election          = "payments-reconciler"
	reconcileBatch    = 16
	reconcileInterval = 200 * time.Millisecond // between rounds; a wake-up is immediate
	attemptTime       = 5 * time.Second
)

// terms is a *leader.Election.
type terms interface {
	Term() (term int64, leads bool)
}

type reconciler struct {
	h        *service.Host
	book     *book
	provider *fallback
	election terms
	pause    backoff.Backoff
	wakeup   chan struct{}
}

func newReconciler(h *service.Host, b *book, f *fallback, e terms) *reconciler {
	return &reconciler{
		h: h, book: b, provider: f, election: e,
		pause:  backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second},
		wakeup: make(chan struct{}, 1),
	}
}

func (r *reconciler) wake() { backoff.Signal(r.wakeup) }

func (r *reconciler) run(ctx context.Context) error {
	ctx = store.Begun(ctx) // all it does is the rest of something
	for {
		if term, leads := r.election.Term(); leads {
			if err := r.round(ctx, term); err != nil && ctx.Err() == nil {
				r.h.Logger.Error("reconciling failed", "term", term, "error", err)
			}
		}
		if backoff.Wait(ctx, reconcileInterval, r.wakeup) != nil {
			return nil
		}
	}
}

// round sends what is due, oldest first and one after the other.
func (r *reconciler) round(ctx context.Context, term int64) error {
	if err := r.voidInterrupted(ctx, term, time.Now().Add(-attemptTime)); err != nil {
		return err
	}
	due, err := attempts(ctx, r.book.db, `WHERE state IN ('void', 'refund') AND due <= ? ORDER BY due LIMIT ?`,
		time.Now().UnixNano(), int64(reconcileBatch))
	if err != nil {
		return fmt.Errorf("find reversals: %w", err)
	}
	for _, a := range due {
		if err := r.reverse(ctx, term, a); err != nil {
			return err
		}
	}
	if len(due) == reconcileBatch {
		r.wake()
	}
	return nil
}

func (r *reconciler) reverse(ctx context.Context, term int64, a attempt) error {
	kind, done := "void", attemptVoided
	if a.state == attemptRefund {
		kind, done = "refund", attemptRefunded
	}
	err := r.provider.named(a.provider).reverse(ctx, "/"+kind+"s", a)
	if err == nil {
		return r.settle(ctx, term, a, kind, done)
	}
	if !policy.IsOpen(err) {
		ctx := service.WithOperation(ctx, service.Operation{ID: a.order})
		r.h.Logger.WarnContext(ctx, "reversal failed, will be repeated", "attempt", a.id, "failures", a.failures+1, "error", err)
	}
	return r.postpone(ctx, term, a, r.pause.Delay(a.failures+1))
}

// settle books what a provider has confirmed.
func (r *reconciler) settle(ctx context.Context, term int64, a attempt, kind, state string) error {
	err := r.fenced(ctx, term, func(tx *store.Tx) error {
		if err := setState(ctx, tx, a.id, state); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO reversals (attempt, order_id, kind, term, writer, at) VALUES (?,?,?,?,?,?)`,
			a.id, a.order, kind, term, r.h.Name, time.Now().UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("settle attempt %s as %s: %w", a.id, state, err)
	}
	return nil
}

// postpone makes an attempt's reversal due again after d.
func (r *reconciler) postpone(ctx context.Context, term int64, a attempt, d time.Duration) error {
	err := r.fenced(ctx, term, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE attempts SET due = ?, failures = failures + 1 WHERE id = ?`, time.Now().Add(d).UnixNano(), a.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("postpone reversal of %s: %w", a.id, err)
	}
	return nil
}

// voidInterrupted marks the attempts from before the given time whose end
// nobody has seen.
func (r *reconciler) voidInterrupted(ctx context.Context, term int64, before time.Time) error {
	var n int
	err := r.book.db.QueryRow(ctx, `SELECT count(*) FROM attempts WHERE state = 'sent' AND at < ?`, before.UnixNano()).Scan(&n)
	if err == nil && n > 0 {
		err = r.fenced(ctx, term, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE attempts SET state = 'void' WHERE state = 'sent' AND at < ?`, before.UnixNano())
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("void interrupted attempts: %w", err)
	}
	return nil
}

// fenced runs f in one transaction, unless another instance leads meanwhile.
func (r *reconciler) fenced(ctx context.Context, term int64, f func(tx *store.Tx) error) error {
	return r.book.db.Tx(ctx, func(tx *store.Tx) error {
		if err := leader.Fence(ctx, tx, election, term); err != nil {
			return err
		}
		return f(tx)
	})
}
