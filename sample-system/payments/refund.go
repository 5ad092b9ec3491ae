// Idempotent refund.
//
// Answers: a refund whose reply is lost and that is therefore sent again, and a
// refund that overtakes its charge. The order is marked as refunded in the
// same transaction as the books, so the second refund finds the mark, and a
// later charge is refused by it (a tombstone).
// Numbers: none; marks are kept for good.
// Costs: one row per refunded order.
// Breaks without it: scenario compensation, when the reply of a
// refund is lost. Off switch: D18, the mark is not looked at.

package payments

import (
	"context"
	"fmt"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

type refunds struct {
	book  *book
	twice bool // D18
}

func newRefunds(h *service.Host, b *book) *refunds {
	return &refunds{book: b, twice: h.Defects.Has(defect.RefundTwice)}
}

// refund gives back whatever was charged for the order, once. When it returns,
// the refund is durable; the reconciler carries it to the provider.
func (r *refunds) refund(ctx context.Context, order string) error {
	ctx = context.WithoutCancel(ctx) // a caller that hangs up has still asked
	err := r.book.db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO refunded VALUES (?) ON CONFLICT DO NOTHING`, order)
		if err != nil || n == 0 && !r.twice {
			return err
		}
		return giveBack(ctx, tx, order)
	})
	if err != nil {
		return fmt.Errorf("refund order %s: %w", order, err)
	}
	r.book.owes()
	return nil
}

// giveBack books a refund of every attempt that took money. Those still under
// way see the mark when they end, see book.charged.
func giveBack(ctx context.Context, tx *store.Tx, order string) error {
	taken, err := attempts(ctx, tx, `WHERE order_id = ? AND state IN ('charged', 'refund', 'refunded')`, order)
	if err != nil {
		return err
	}
	for _, a := range taken {
		if err := enter(ctx, tx, a, -1, "refund"); err != nil {
			return err
		}
		if err := setState(ctx, tx, a.id, attemptRefund); err != nil {
			return err
		}
	}
	return nil
}
