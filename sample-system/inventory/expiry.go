// Expiry of forgotten reservations.
//
// Answers: an orchestrator that is gone for good and neither commits nor
// releases. Its stock would be held for ever.
// Numbers: 10 minutes, two hundred times what a checkout may take, so that no
// saga that can still end well loses its stock; looked for every 10 s.
// Costs: stock that is held up to 10 minutes for nobody.
// Breaks without it: no scenario yet; an orchestrator that comes back releases
// by itself. No off switch.

package inventory

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"squall/sample-system/internal/backoff"
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
	err = e.shelf.db.Tx(ctx, func(tx *sql.Tx) error {
		forgotten, err := reservedBefore(ctx, tx, before)
		if err != nil {
			return err
		}
		for _, r := range forgotten {
			if err := putBack(ctx, tx, r, "expire"); err != nil {
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

func reservedBefore(ctx context.Context, tx *sql.Tx, before time.Time) ([]reservation, error) {
	rows, err := tx.QueryContext(ctx, `SELECT order_id, sku, qty FROM reservations WHERE state = 'reserved' AND at < ? LIMIT ?`,
		before.UnixNano(), expireBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var rs []reservation
	for rows.Next() {
		r := reservation{state: stateReserved}
		if err := rows.Scan(&r.order, &r.sku, &r.qty); err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, rows.Err()
}
