// Reconciliation with the providers, by one instance.
//
// Answers: a charge whose reply was lost may have been executed, and a refund
// must reach the provider however long that is down. Both are rows that stay
// until the provider has confirmed: a void makes an executed charge undone and
// a late one refused. An attempt whose instance died before it saw its end is
// voided too. The elected leader does it, and each of its writes is fenced: one
// that was paused finds out by its first write that another one has taken over.
// Numbers: 16 rows a round keep a burst of a few hundred unknown charges to
// some seconds; the delay after failures grows from 100 ms to 2 s per row. What
// this instance owes is sent at once, what the other one owes is found by a look
// every 200 ms, or every second when there was nothing for 4 s. An attempt is over
// after 1.1 s at most; after 5 s nobody is waiting for it: a look every second.
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
	reconcileIdle     = time.Second
	reconcileBusy     = 20 // rounds with nothing to do until it is idle
	attemptTime       = 5 * time.Second
	interruptedLook   = time.Second
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
	looked   time.Time // last for interrupted attempts
}

func newReconciler(h *service.Host, b *book, f *fallback, e terms) *reconciler {
	return &reconciler{
		h: h, book: b, provider: f, election: e,
		pause: backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second},
	}
}

func (r *reconciler) run(ctx context.Context) error {
	ctx = store.Begun(ctx) // all it does is the rest of something
	idle := 0              // rounds in a row
	for {
		n, err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			r.h.Logger.Error("reconciling failed", "error", err)
		}
		wait := reconcileInterval
		if idle++; n > 0 || err != nil {
			idle = 0
		} else if idle > reconcileBusy {
			wait = reconcileIdle
		}
		if backoff.Wait(ctx, wait, r.book.owing) != nil {
			return nil
		}
	}
}

// look reconciles if this instance leads. It returns how many reversals were due.
func (r *reconciler) look(ctx context.Context) (int, error) {
	term, leads := r.election.Term()
	if !leads {
		return 0, nil
	}
	if time.Since(r.looked) >= interruptedLook {
		if err := r.voidInterrupted(ctx, term, time.Now().Add(-attemptTime)); err != nil {
			return 0, err
		}
		r.looked = time.Now()
	}
	return r.round(ctx, term)
}

// round sends what is due, oldest first and one after the other.
func (r *reconciler) round(ctx context.Context, term int64) (int, error) {
	due, err := attempts(ctx, r.book.db, `WHERE state IN ('void', 'refund') AND due <= ? ORDER BY due LIMIT ?`,
		time.Now().UnixNano(), int64(reconcileBatch))
	if err != nil {
		return 0, fmt.Errorf("find reversals: %w", err)
	}
	for _, a := range due {
		if err := r.reverse(ctx, term, a); err != nil {
			return 0, err
		}
	}
	if len(due) == reconcileBatch {
		r.book.owes() // there is more
	}
	return len(due), nil
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
