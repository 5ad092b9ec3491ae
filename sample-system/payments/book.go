package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/store"
)

// The tables:
//   - attempts: one row per call to a provider, written before the call, so
//     that a call whose end nobody saw is known after a crash;
//   - claims: which instance works on an idempotency key, see idempotency.go;
//   - results: the final answer to each idempotency key;
//   - refunded: orders that were refunded, even before a charge was seen;
//   - entries: the books;
//   - reversals: voids and refunds that a provider has confirmed, and who saw to it.
const schema = leader.Schema + `
CREATE TABLE IF NOT EXISTS attempts (
	id TEXT PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, provider TEXT NOT NULL, state TEXT NOT NULL,
	at BIGINT NOT NULL, due BIGINT NOT NULL DEFAULT 0, failures BIGINT NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
CREATE INDEX IF NOT EXISTS attempts_order ON attempts (order_id);
CREATE INDEX IF NOT EXISTS attempts_sent ON attempts (at) WHERE state = 'sent';
CREATE INDEX IF NOT EXISTS attempts_due ON attempts (due) WHERE state IN ('void', 'refund');
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, order_id TEXT NOT NULL, status TEXT NOT NULL, provider TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refunded (order_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS entries (
	id {{serial}}, key TEXT NOT NULL, order_id TEXT NOT NULL, effect BIGINT NOT NULL, kind TEXT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS reversals (
	id {{serial}}, attempt TEXT NOT NULL, order_id TEXT NOT NULL, kind TEXT NOT NULL, term BIGINT NOT NULL, writer TEXT NOT NULL, at BIGINT NOT NULL);`

// States of an attempt at a provider:
//
//	sent ─▶ charged ─▶ refund ─▶ refunded
//	  ├───▶ refused
//	  └───▶ void ─▶ voided          (its end is unknown, or came too late)
//
// Only the instance that sent an attempt takes it out of "sent", unless it needs
// too long; whoever comes second finds another state and leaves it alone.
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
	db    *store.DB
	owing chan struct{} // signalled when there is something to void or refund
}

func newBook(db *store.DB) *book { return &book{db: db, owing: make(chan struct{}, 1)} }

// owes wakes this instance's reconciler.
func (b *book) owes() { backoff.Signal(b.owing) }

// rower is the database, or a transaction on it.
type rower interface {
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// resultOf finds the final answer to a key: its own, or that the order is refunded.
func resultOf(ctx context.Context, q rower, key, order string) (r result, found bool, err error) {
	refunded, err := isRefunded(ctx, q, order)
	if err != nil {
		return result{}, false, err
	}
	err = q.QueryRow(ctx, `SELECT status, provider FROM results WHERE key = ?`, key).Scan(&r.status, &r.provider)
	switch {
	case err == nil:
		return r, true, nil
	case !errors.Is(err, sql.ErrNoRows):
		return result{}, false, fmt.Errorf("find charge %s: %w", key, err)
	case refunded:
		return result{status: statusRefunded}, true, nil
	default:
		return result{}, false, nil
	}
}

// begin writes down that a provider is about to be called.
func (b *book) begin(ctx context.Context, key, order, provider string) (attempt, error) {
	a := attempt{key: key, order: order, provider: provider, state: attemptSent}
	err := b.db.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM attempts WHERE key = ?`, key).Scan(&n); err != nil {
			return err
		}
		a.id = fmt.Sprintf("%s.%d", key, n+1)
		_, err := tx.Exec(ctx, `INSERT INTO attempts (id, key, order_id, provider, state, at) VALUES (?,?,?,?,?,?)`,
			a.id, key, order, provider, a.state, time.Now().UnixNano())
		return err
	})
	if err != nil {
		return attempt{}, fmt.Errorf("begin attempt for charge %s: %w", key, err)
	}
	return a, nil
}

// charged books an attempt that took the money. If it comes too late, because
// another attempt has answered the key or this one was given up meanwhile, the
// provider gets a void and the other answer stands. An order that was refunded
// meanwhile gets its money back at once.
func (b *book) charged(ctx context.Context, a attempt) (r result, err error) {
	var found bool
	err = b.db.Tx(ctx, func(tx *store.Tx) error {
		var earlier result
		if earlier, found, err = resultOf(ctx, tx, a.key, a.order); err != nil {
			return err
		}
		if r = earlier; found && r.status != statusRefunded {
			_, err := end(ctx, tx, a, attemptVoid)
			return err
		}
		if r = (result{statusCharged, a.provider}); found {
			r = result{status: statusRefunded}
		}
		return enterCharge(ctx, tx, a, &r)
	})
	if err != nil {
		return result{}, fmt.Errorf("book attempt %s: %w", a.id, err)
	}
	if found {
		b.owes()
	}
	return r, nil
}

// enterCharge books an attempt whose money is taken, and gives it back at once
// if r says that the order is refunded. r becomes what is known if the attempt
// was given up.
func enterCharge(ctx context.Context, tx *store.Tx, a attempt, r *result) error {
	state := attemptCharged
	if r.status == statusRefunded {
		state = attemptRefund
	}
	ended, err := end(ctx, tx, a, state)
	if err != nil || !ended {
		r.status = statusUnavailable
		return err
	}
	if err := enter(ctx, tx, a, +1, "charge"); err != nil {
		return err
	}
	if state == attemptRefund {
		return enter(ctx, tx, a, -1, "refund")
	}
	return setResult(ctx, tx, a, *r)
}

// declined books the provider's final no.
func (b *book) declined(ctx context.Context, a attempt) (r result, err error) {
	err = b.db.Tx(ctx, func(tx *store.Tx) error {
		earlier, found, err := resultOf(ctx, tx, a.key, a.order)
		if err != nil {
			return err
		}
		if _, err := end(ctx, tx, a, attemptRefused); err != nil || found {
			r = earlier
			return err
		}
		r = result{statusDeclined, a.provider}
		return setResult(ctx, tx, a, r)
	})
	if err != nil {
		return result{}, fmt.Errorf("book attempt %s: %w", a.id, err)
	}
	return r, nil
}

// giveUp ends an attempt that did not take the money, or of which that is unknown.
func (b *book) giveUp(ctx context.Context, a attempt, state string) error {
	err := b.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := end(ctx, tx, a, state)
		return err
	})
	if err != nil {
		return fmt.Errorf("give up attempt %s as %s: %w", a.id, state, err)
	}
	if state == attemptVoid {
		b.owes()
	}
	return nil
}

// end moves an attempt out of "sent"; false if somebody else has.
func end(ctx context.Context, tx *store.Tx, a attempt, state string) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE attempts SET state = ? WHERE id = ? AND state = 'sent'`, state, a.id)
	return n > 0, err
}

func setState(ctx context.Context, tx *store.Tx, id, state string) error {
	_, err := tx.Exec(ctx, `UPDATE attempts SET state = ? WHERE id = ?`, state, id)
	return err
}

// setResult answers a key for good, which ends the claim on it.
func setResult(ctx context.Context, tx *store.Tx, a attempt, r result) error {
	if _, err := tx.Exec(ctx, `INSERT INTO results VALUES (?,?,?,?)`, a.key, a.order, r.status, r.provider); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM claims WHERE key = ?`, a.key)
	return err
}

func enter(ctx context.Context, tx *store.Tx, a attempt, effect int64, kind string) error {
	_, err := tx.Exec(ctx, `INSERT INTO entries (key, order_id, effect, kind, at) VALUES (?,?,?,?,?)`,
		a.key, a.order, effect, kind, time.Now().UnixNano())
	return err
}

func isRefunded(ctx context.Context, q rower, order string) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT count(*) FROM refunded WHERE order_id = ?`, order).Scan(&n)
	return n > 0, err
}

type querier interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// attempts selects attempts by the given clauses.
func attempts(ctx context.Context, q querier, clauses string, args ...any) ([]attempt, error) {
	rows, err := q.Query(ctx, `SELECT id, key, order_id, provider, state, failures FROM attempts `+clauses, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var as []attempt
	for rows.Next() {
		var a attempt
		if err := rows.Scan(&a.id, &a.key, &a.order, &a.provider, &a.state, &a.failures); err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	return as, rows.Err()
}
