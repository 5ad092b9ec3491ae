// Expiry of forgotten reservations.
//
// Answers: an orchestrator that is gone for good and neither commits nor
// releases. Its stock would be held for ever.
// Numbers: 10 minutes, two hundred times what a checkout may take, so that no
// saga that can still end well loses its stock; looked for every 10 s.
// Costs: stock that is held up to 10 minutes for nobody.
// Breaks without it: TestExpiryReleasesForgottenReservations; an orchestrator
// that comes back releases by itself. No off switch.

package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/store"
)

const (
	expireAfter    = 10 * time.Minute
	expireInterval = 10 * time.Second
	expireBatch    = 100
)

type expiry struct {
	shelf *shelf
	log   *slog.Logger
}

func (e *expiry) run(ctx context.Context) error {
	for backoff.Wait(ctx, expireInterval, nil) == nil {
		n, err := e.expire(ctx, time.Now().Add(-expireAfter))
		if err != nil && ctx.Err() == nil {
			e.log.Error("expiry failed", "error", err)
		}
		if n > 0 {
			e.log.Warn("reservations expired", "count", n)
		}
	}
	return nil
}

// expire releases reservations made before the given time.
func (e *expiry) expire(ctx context.Context, before time.Time) (n int, err error) {
	err = e.shelf.db.Tx(ctx, func(tx *store.Tx) error {
		forgotten, err := reservedBefore(ctx, tx, before)
		if err != nil {
			return err
		}
		for _, order := range forgotten {
			if err := end(ctx, tx, order, "expire"); err != nil {
				return err
			}
		}
		n = len(forgotten)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("expire reservations: %w", err)
	}
	return n, nil
}

func reservedBefore(ctx context.Context, tx *store.Tx, before time.Time) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT order_id FROM reservations WHERE state = 'reserved' AND at < ? ORDER BY at LIMIT ?`,
		before.UnixNano(), int64(expireBatch))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var orders []string
	for rows.Next() {
		var order string
		if err := rows.Scan(&order); err != nil {
			return nil, err
		}
		orders = append(orders, order)
	}
	return orders, rows.Err()
}
