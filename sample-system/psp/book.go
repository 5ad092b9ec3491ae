package psp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, order_id TEXT NOT NULL, amount BIGINT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
	id {{serial}}, key TEXT NOT NULL, order_id TEXT NOT NULL, effect BIGINT NOT NULL, kind TEXT NOT NULL, at BIGINT NOT NULL);`

// States of a charge.
const (
	charged  = "charged"
	declined = "declined"
	reversed = "reversed" // refunded, voided, or voided before it was seen
)

// cardLimit is what a customer's card bears, in cents.
const cardLimit = 1_000_000

// book is the provider's accounts. Every command is one transaction on the row
// of its key, which makes it idempotent: the second call finds the first one's
// result. A reversal of a key that is not there leaves a tombstone, so that a
// charge which was only slow to arrive is refused afterwards.
type book struct {
	db *store.DB
}

func (b *book) charge(ctx context.Context, key string, req ChargeRequest) (state string, err error) {
	err = b.db.Tx(ctx, func(tx *store.Tx) error {
		if state, err = find(ctx, tx, key); err != nil || state != "" {
			return err
		}
		if state = charged; req.Amount > cardLimit {
			state = declined
		}
		if _, err := tx.Exec(ctx, `INSERT INTO charges VALUES (?,?,?,?)`, key, req.Order, req.Amount, state); err != nil {
			return err
		}
		if state == declined {
			return nil
		}
		return enter(ctx, tx, key, req.Order, +1, "charge")
	})
	if err != nil {
		return "", fmt.Errorf("charge %s: %w", key, err)
	}
	return state, nil
}

func (b *book) reverse(ctx context.Context, kind string, req ReverseRequest) error {
	err := b.db.Tx(ctx, func(tx *store.Tx) error {
		found, err := find(ctx, tx, req.Key)
		if err != nil || found == reversed {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO charges VALUES (?,?,0,?) ON CONFLICT (key) DO UPDATE SET state = excluded.state`,
			req.Key, req.Order, reversed)
		if err != nil || found != charged {
			return err
		}
		return enter(ctx, tx, req.Key, req.Order, -1, kind)
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, req.Key, err)
	}
	return nil
}

// find is the state of a charge, empty when there is none.
func find(ctx context.Context, tx *store.Tx, key string) (string, error) {
	var state string
	err := tx.QueryRow(ctx, `SELECT state FROM charges WHERE key = ?`, key).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return state, err
}

func enter(ctx context.Context, tx *store.Tx, key, order string, effect int64, kind string) error {
	_, err := tx.Exec(ctx, `INSERT INTO entries (key, order_id, effect, kind, at) VALUES (?,?,?,?,?)`,
		key, order, effect, kind, time.Now().UnixNano())
	return err
}
