package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/store"
)

// The tables:
//   - attempts: one row per call to a provider, written before the call, so
//     that a call whose end nobody saw is known after a crash;
//   - results: the final answer to each idempotency key;
//   - refunded: orders that were refunded, even before a charge was seen;
//   - entries: the books.
const schema = `
CREATE TABLE IF NOT EXISTS attempts (
	id TEXT PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, provider TEXT NOT NULL, state TEXT NOT NULL, due INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
CREATE INDEX IF NOT EXISTS attempts_order ON attempts (order_id);
CREATE INDEX IF NOT EXISTS attempts_due ON attempts (due) WHERE state IN ('void', 'refund');
CREATE TABLE IF NOT EXISTS results (
	key TEXT PRIMARY KEY, order_id TEXT NOT NULL, status TEXT NOT NULL, provider TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunded (order_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
	id INTEGER PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, effect INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL);`

// States of an attempt at a provider:
//
//	sent ─▶ charged ─▶ refund ─▶ refunded
//	  ├───▶ refused
//	  └───▶ void ─▶ voided          (its end is unknown)
const (
	attemptSent     = "sent"
	attemptCharged  = "charged"
	attemptRefused  = "refused"
	attemptVoid     = "void"
	attemptVoided   = "voided"
	attemptRefund   = "refund"
	attemptRefunded = "refunded"
)

// Statuses of a charge.
const (
	statusCharged     = "charged"
	statusDeclined    = "declined"
	statusRefunded    = "refunded"
	statusUnavailable = "unavailable" // not final: may be tried again
)

type result struct {
	status   string
	provider string
}

// attempt is one call to a provider. Each has an id of its own: a void of one
// must never hit the next attempt for the same charge.
type attempt struct {
	id       string
	key      string
	order    string
	provider string
	state    string
	failures int // of reversing it
}

type book struct {
	db *store.DB
}

// result finds the final answer to a key: its own, or that the order is refunded.
func (b *book) result(ctx context.Context, key, order string) (result, bool, error) {
	var r result
	err := b.db.Read.QueryRowContext(ctx, `
		SELECT status, provider FROM results WHERE key = ?
		UNION ALL SELECT ?, '' FROM refunded WHERE order_id = ? LIMIT 1`, key, statusRefunded, order).Scan(&r.status, &r.provider)
	if errors.Is(err, sql.ErrNoRows) {
		return result{}, false, nil
	}
	if err != nil {
		return result{}, false, fmt.Errorf("find charge %s: %w", key, err)
	}
	return r, true, nil
}

// begin writes down that a provider is about to be called.
func (b *book) begin(ctx context.Context, key, order, provider string) (attempt, error) {
	a := attempt{key: key, order: order, provider: provider, state: attemptSent}
	err := b.db.Tx(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM attempts WHERE key = ?`, key).Scan(&n); err != nil {
			return err
		}
		a.id = fmt.Sprintf("%s.%d", key, n+1)
		_, err := tx.ExecContext(ctx, `INSERT INTO attempts (id, key, order_id, provider, state) VALUES (?,?,?,?,?)`,
			a.id, key, order, provider, a.state)
		return err
	})
	if err != nil {
		return attempt{}, fmt.Errorf("begin attempt for charge %s: %w", key, err)
	}
	return a, nil
}

// charged books an attempt that took the money. An order that was refunded
// meanwhile gets it back at once.
func (b *book) charged(ctx context.Context, a attempt) (result, error) {
	r := result{statusCharged, a.provider}
	err := b.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := enter(ctx, tx, a, +1, "charge"); err != nil {
			return err
		}
		gone, err := isRefunded(ctx, tx, a.order)
		if err != nil {
			return err
		}
		if !gone {
			return errors.Join(setState(ctx, tx, a.id, attemptCharged), setResult(ctx, tx, a, r))
		}
		r = result{status: statusRefunded}
		return errors.Join(enter(ctx, tx, a, -1, "refund"), setState(ctx, tx, a.id, attemptRefund))
	})
	if err != nil {
		return result{}, fmt.Errorf("book attempt %s: %w", a.id, err)
	}
	return r, nil
}

// declined books the provider's final no.
func (b *book) declined(ctx context.Context, a attempt) (result, error) {
	r := result{statusDeclined, a.provider}
	err := b.db.Tx(ctx, func(tx *sql.Tx) error {
		return errors.Join(setState(ctx, tx, a.id, attemptRefused), setResult(ctx, tx, a, r))
	})
	if err != nil {
		return result{}, fmt.Errorf("book attempt %s: %w", a.id, err)
	}
	return r, nil
}

// settle moves an attempt to another state.
func (b *book) settle(ctx context.Context, a attempt, state string) error {
	if _, err := b.db.Write.ExecContext(ctx, `UPDATE attempts SET state = ? WHERE id = ?`, state, a.id); err != nil {
		return fmt.Errorf("settle attempt %s as %s: %w", a.id, state, err)
	}
	return nil
}

func setState(ctx context.Context, tx *sql.Tx, id, state string) error {
	_, err := tx.ExecContext(ctx, `UPDATE attempts SET state = ? WHERE id = ?`, state, id)
	return err
}

func setResult(ctx context.Context, tx *sql.Tx, a attempt, r result) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO results VALUES (?,?,?,?)`, a.key, a.order, r.status, r.provider)
	return err
}

func enter(ctx context.Context, tx *sql.Tx, a attempt, effect int, kind string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO entries (key, order_id, effect, kind, at) VALUES (?,?,?,?,?)`,
		a.key, a.order, effect, kind, time.Now().UnixNano())
	return err
}

func isRefunded(ctx context.Context, tx *sql.Tx, order string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM refunded WHERE order_id = ?`, order).Scan(&n)
	return n > 0, err
}
