// Idempotent reservations with tombstones.
//
// Answers: a reservation whose reply is lost, is repeated, or arrives after its
// own release. Every command is one transaction on the row of its order: a
// repeated one finds the row and changes nothing; a release of a reservation
// that was never seen leaves a row, by which the late reservation is refused.
// Numbers: a sku starts with a million pieces, so that stock runs out only
// where a test wants it to.
// Costs: one row per order, for good.
// Breaks without it: scenario compensation, TestCommands. No off switch.

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

const schema = stockSchema + `
CREATE TABLE IF NOT EXISTS reservations (order_id TEXT PRIMARY KEY, state TEXT NOT NULL, at BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS reservations_open ON reservations (at) WHERE state = 'reserved';
CREATE TABLE IF NOT EXISTS entries (
	id {{serial}}, order_id TEXT NOT NULL, effect BIGINT NOT NULL, kind TEXT NOT NULL, pieces BIGINT NOT NULL, at BIGINT NOT NULL);`

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

// reserve takes stock for an order and returns the state of its reservation,
// also that of an earlier one.
func (s *shelf) reserve(ctx context.Context, req ReserveRequest) (state string, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if state, err = find(ctx, tx, req.Order); err != nil || state != "" {
			return err
		}
		taken, err := take(ctx, tx, req.Order, sum(req.Lines))
		if err != nil {
			return err
		}
		if state = stateReserved; !taken {
			state = stateRefused
		}
		_, err = tx.Exec(ctx, `INSERT INTO reservations VALUES (?,?,?)`, req.Order, state, time.Now().UnixNano())
		if err != nil || !taken {
			return err
		}
		return enter(ctx, tx, req.Order, +1, "reserve")
	})
	if err != nil {
		return "", fmt.Errorf("reserve for order %s: %w", req.Order, err)
	}
	return state, nil
}

// commit makes a reservation final. One that is gone is a conflict.
func (s *shelf) commit(ctx context.Context, order string) (string, error) {
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		state, err := find(ctx, tx, order)
		if err != nil || state == stateCommitted {
			return err
		}
		if state != stateReserved {
			return service.Problem{Status: 409, Title: "no reservation to commit", Detail: "state " + state}
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
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		state, err := find(ctx, tx, order)
		if err != nil {
			return err
		}
		switch state {
		case "":
			_, err = tx.Exec(ctx, `INSERT INTO reservations VALUES (?,?,?)`, order, stateReleased, time.Now().UnixNano())
			return err
		case stateReserved, stateCommitted:
			return end(ctx, tx, order, "release")
		default:
			return nil
		}
	})
	if err != nil {
		return "", fmt.Errorf("release order %s: %w", order, err)
	}
	return stateReleased, nil
}

// end puts the stock of a reservation back and books it.
func end(ctx context.Context, tx *store.Tx, order, kind string) error {
	if err := putBack(ctx, tx, order); err != nil {
		return err
	}
	if err := setState(ctx, tx, order, stateReleased); err != nil {
		return err
	}
	return enter(ctx, tx, order, -1, kind)
}

// find is the state of an order's reservation, empty when there is none.
func find(ctx context.Context, tx *store.Tx, order string) (state string, err error) {
	err = tx.QueryRow(ctx, `SELECT state FROM reservations WHERE order_id = ?`, order).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return state, err
}

func setState(ctx context.Context, tx *store.Tx, order, state string) error {
	_, err := tx.Exec(ctx, `UPDATE reservations SET state = ? WHERE order_id = ?`, state, order)
	return err
}

func enter(ctx context.Context, tx *store.Tx, order string, effect int64, kind string) error {
	_, err := tx.Exec(ctx, `INSERT INTO entries (order_id, effect, kind, pieces, at)
		SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT), COALESCE(SUM(qty), 0), CAST(? AS BIGINT) FROM lines WHERE order_id = ?`,
		order, effect, kind, time.Now().UnixNano(), order)
	return err
}
