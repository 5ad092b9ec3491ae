// Idempotent reservations with tombstones.
//
// Answers: a reservation whose reply is lost, is repeated, or arrives after its
// own release. Every command is one transaction on the row of its order: a
// repeated one finds the row and changes nothing; a release of a reservation
// that was never seen leaves a row, by which the late reservation is refused.
// Numbers: a sku starts with a million pieces, so that stock runs out only
// where a test wants it to.
// Costs: one row per order, for good.
// Breaks without it: scenario compensation. No off switch.

package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const initialStock = 1_000_000

const schema = `
CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, available INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
	order_id TEXT PRIMARY KEY, sku TEXT NOT NULL, qty INTEGER NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS reservations_open ON reservations (at) WHERE state = 'reserved';
CREATE TABLE IF NOT EXISTS entries (
	id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, effect INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL);`

// States of a reservation.
const (
	stateReserved  = "reserved"
	stateCommitted = "committed"
	stateReleased  = "released" // also before it was seen
	stateRefused   = "refused"  // out of stock
)

type shelf struct {
	db *store.DB
}

type reservation struct {
	order, sku, state string
	qty               int
}

// reserve takes stock for an order and returns the state of its reservation,
// also that of an earlier one.
func (s *shelf) reserve(ctx context.Context, req ReserveRequest) (state string, err error) {
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		found, err := find(ctx, tx, req.Order)
		if err != nil || found.state != "" {
			state = found.state
			return err
		}
		if state, err = take(ctx, tx, req); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO reservations VALUES (?,?,?,?,?)`, req.Order, req.SKU, req.Qty, state, time.Now().UnixNano())
		if err != nil || state == stateRefused {
			return err
		}
		return enter(ctx, tx, req.Order, +1, "reserve")
	})
	if err != nil {
		return "", fmt.Errorf("reserve for order %s: %w", req.Order, err)
	}
	return state, nil
}

func take(ctx context.Context, tx *sql.Tx, req ReserveRequest) (string, error) {
	if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO stock VALUES (?,?)`, req.SKU, initialStock); err != nil {
		return "", err
	}
	res, err := tx.ExecContext(ctx, `UPDATE stock SET available = available - ? WHERE sku = ? AND available >= ?`, req.Qty, req.SKU, req.Qty)
	if err != nil {
		return "", err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return stateRefused, err
	}
	return stateReserved, nil
}

// commit makes a reservation final. One that is gone is a conflict.
func (s *shelf) commit(ctx context.Context, order string) (string, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		found, err := find(ctx, tx, order)
		if err != nil || found.state == stateCommitted {
			return err
		}
		if found.state != stateReserved {
			return service.Problem{Status: 409, Title: "no reservation to commit", Detail: "state " + found.state}
		}
		return setState(ctx, tx, order, stateCommitted)
	})
	if err != nil {
		return "", fmt.Errorf("commit order %s: %w", order, err)
	}
	return stateCommitted, nil
}

// release puts the stock back, from any state and at most once.
func (s *shelf) release(ctx context.Context, order string) (string, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		found, err := find(ctx, tx, order)
		if err != nil {
			return err
		}
		switch found.state {
		case "":
			_, err = tx.ExecContext(ctx, `INSERT INTO reservations VALUES (?,'',0,?,?)`, order, stateReleased, time.Now().UnixNano())
			return err
		case stateReserved, stateCommitted:
			return putBack(ctx, tx, found, "release")
		default:
			return nil
		}
	})
	if err != nil {
		return "", fmt.Errorf("release order %s: %w", order, err)
	}
	return stateReleased, nil
}

func putBack(ctx context.Context, tx *sql.Tx, r reservation, kind string) error {
	if _, err := tx.ExecContext(ctx, `UPDATE stock SET available = available + ? WHERE sku = ?`, r.qty, r.sku); err != nil {
		return err
	}
	if err := setState(ctx, tx, r.order, stateReleased); err != nil {
		return err
	}
	return enter(ctx, tx, r.order, -1, kind)
}

// find is the reservation of an order, with an empty state when there is none.
func find(ctx context.Context, tx *sql.Tx, order string) (reservation, error) {
	r := reservation{order: order}
	err := tx.QueryRowContext(ctx, `SELECT sku, qty, state FROM reservations WHERE order_id = ?`, order).Scan(&r.sku, &r.qty, &r.state)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	return r, err
}

func setState(ctx context.Context, tx *sql.Tx, order, state string) error {
	_, err := tx.ExecContext(ctx, `UPDATE reservations SET state = ? WHERE order_id = ?`, state, order)
	return err
}

func enter(ctx context.Context, tx *sql.Tx, order string, effect int, kind string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO entries (order_id, effect, kind, at) VALUES (?,?,?,?)`, order, effect, kind, time.Now().UnixNano())
	return err
}
