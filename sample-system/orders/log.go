package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS sagas (
	id TEXT PRIMARY KEY, sku TEXT NOT NULL, qty INTEGER NOT NULL, amount INTEGER NOT NULL, customer TEXT NOT NULL,
	trace TEXT NOT NULL, state TEXT NOT NULL, code INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sagas_pending ON sagas (state) WHERE state NOT IN ('confirmed', 'cancelled');
CREATE TABLE IF NOT EXISTS outbox (
	id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, trace TEXT NOT NULL, event BLOB NOT NULL);`

// State of a saga: the step that is about to be made, or the final state.
//
//	reserving ─▶ charging ─▶ committing ─▶ confirmed
//	    │            │            │
//	    │            └──▶ refunding ◀┘
//	    ▼                   │
//	releasing ◀─────────────┘  ─▶ cancelled
type state string

const (
	stateReserving  state = "reserving"
	stateCharging   state = "charging"
	stateCommitting state = "committing"
	stateConfirmed  state = "confirmed"
	stateRefunding  state = "refunding"
	stateReleasing  state = "releasing"
	stateCancelled  state = "cancelled"
)

// saga is one order on its way.
type saga struct {
	order  Order
	trace  string
	state  state
	code   int    // HTTP status of the answer when it was not confirmed
	reason string // why not
}

func (s *saga) final() bool { return s.state == stateConfirmed || s.state == stateCancelled }

// status is the answer to the client. An order that is being undone counts as
// cancelled: it is decided, durable and will be done.
func (s *saga) status() Status {
	st := Status{ID: s.order.ID, Status: string(stateCancelled), Reason: s.reason}
	if s.state == stateConfirmed {
		st.Status = string(stateConfirmed)
	}
	return st
}

// log is the durable log of all sagas: a state is written before its step.
type log struct {
	db *store.DB
}

const columns = `id, sku, qty, amount, customer, trace, state, code, reason`

func (l *log) begin(ctx context.Context, s *saga) error {
	o := s.order
	_, err := l.db.Write.ExecContext(ctx, `INSERT INTO sagas (`+columns+`, at) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		o.ID, o.SKU, o.Qty, o.Amount, o.Customer, s.trace, s.state, s.code, s.reason, time.Now().UnixNano())
	if err != nil {
		return fmt.Errorf("begin saga %s: %w", o.ID, err)
	}
	return nil
}

// save writes the saga's state.
func (l *log) save(ctx context.Context, s *saga) error {
	if err := save(ctx, l.db.Write, s); err != nil {
		return fmt.Errorf("save saga %s as %s: %w", s.order.ID, s.state, err)
	}
	return nil
}

// confirm makes the order final and its event due, both or neither.
func (l *log) confirm(ctx context.Context, s *saga) error {
	s.state = stateConfirmed
	err := l.db.Tx(ctx, func(tx *sql.Tx) error {
		return errors.Join(save(ctx, tx, s), enqueue(ctx, tx, s))
	})
	if err != nil {
		return fmt.Errorf("confirm saga %s: %w", s.order.ID, err)
	}
	return nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func save(ctx context.Context, db execer, s *saga) error {
	_, err := db.ExecContext(ctx, `UPDATE sagas SET state = ?, code = ?, reason = ?, at = ? WHERE id = ?`,
		s.state, s.code, s.reason, time.Now().UnixNano(), s.order.ID)
	return err
}

func (l *log) find(ctx context.Context, id string) (*saga, bool, error) {
	found, err := l.query(ctx, `WHERE id = ?`, id)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	return found[0], true, nil
}

// pending lists the sagas without a final state.
func (l *log) pending(ctx context.Context) ([]*saga, error) {
	return l.query(ctx, `WHERE state NOT IN ('confirmed', 'cancelled')`)
}

func (l *log) query(ctx context.Context, where string, args ...any) ([]*saga, error) {
	rows, err := l.db.Read.QueryContext(ctx, `SELECT `+columns+` FROM sagas `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read sagas: %w", err)
	}
	defer rows.Close()
	var sagas []*saga
	for rows.Next() {
		s := &saga{}
		o := &s.order
		if err := rows.Scan(&o.ID, &o.SKU, &o.Qty, &o.Amount, &o.Customer, &s.trace, &s.state, &s.code, &s.reason); err != nil {
			return nil, fmt.Errorf("read sagas: %w", err)
		}
		sagas = append(sagas, s)
	}
	return sagas, rows.Err()
}
