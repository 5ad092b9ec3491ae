// Event-sourced store with optimistic concurrency.
//
// Answers: two instances that work on one order at once, such as one that was
// paused so long that the other has taken its orders over. An event is written
// under the next number of its order; whoever comes second finds the number
// taken, gets errConflict and must stop. The table of orders is the fold of the
// events, written in the same transaction, for those who ask.
// Numbers: none.
// Costs: two writes per step instead of one, and events kept for good.
// Breaks without it: TestTwoWriters, TestPausedProcess. No off switch.

package orders

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const schema = leader.Schema + `
CREATE TABLE IF NOT EXISTS events (
	order_id TEXT NOT NULL, seq BIGINT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, at BIGINT NOT NULL,
	PRIMARY KEY (order_id, seq));
CREATE TABLE IF NOT EXISTS orders (
	id TEXT PRIMARY KEY, seq BIGINT NOT NULL, state TEXT NOT NULL, customer TEXT NOT NULL, items TEXT NOT NULL, lines TEXT NOT NULL,
	amount BIGINT NOT NULL, trace TEXT NOT NULL, code BIGINT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL,
	owner TEXT NOT NULL, lease BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS orders_pending ON orders (lease) WHERE state NOT IN ('confirmed', 'cancelled');
CREATE TABLE IF NOT EXISTS outbox (
	id {{serial}}, order_id TEXT NOT NULL, subject TEXT NOT NULL, msg_id TEXT NOT NULL, trace TEXT NOT NULL, event TEXT NOT NULL);`

const countPending = `SELECT count(*) FROM orders WHERE state NOT IN ('confirmed', 'cancelled')`

// errConflict: another instance has gone on with the order.
var errConflict = errors.New("the order was changed by another instance")

// log is the events of all orders, and the table folded from them.
type log struct {
	db        *store.DB
	owner     string // this instance
	outbox    *outbox
	conflicts prometheus.Counter
	takeovers prometheus.Counter
}

func newLog(h *service.Host, db *store.DB, x *outbox) *log {
	h.GaugeFunc("saga_pending", "Sagas without a final state.", nil, db.Count(countPending))
	return &log{
		db: db, owner: h.Name, outbox: x,
		conflicts: h.Counter("order_conflicts_total", "Events refused because another instance was first.").WithLabelValues(),
		takeovers: h.Counter("saga_takeovers_total", "Sagas taken over from an instance that is gone.").WithLabelValues(),
	}
}

// change is an event that has no number yet.
type change struct {
	kind kind
	data factData
}

// append writes the next events of an order and returns the order after them.
// errConflict: o was not its latest state; nothing is written.
func (l *log) append(ctx context.Context, o order, changes ...change) (order, error) {
	next, facts, err := extend(o, changes)
	if err != nil {
		return order{}, err
	}
	messages, err := l.outbox.due(next, facts)
	if err != nil {
		return order{}, err
	}
	err = l.db.Tx(ctx, func(tx *store.Tx) error {
		for _, f := range facts {
			if err := insert(ctx, tx, o.ID, f); err != nil {
				return err
			}
		}
		if err := l.project(ctx, tx, next, facts); err != nil {
			return err
		}
		return l.outbox.enqueue(ctx, tx, messages)
	})
	if errors.Is(err, errConflict) {
		l.conflicts.Inc()
	}
	if err != nil {
		return order{}, fmt.Errorf("append %s to order %s: %w", facts[0].Kind, o.ID, err)
	}
	l.outbox.committed(ctx, messages)
	return next, nil
}

// insist is append with patience for a database that is too busy, or away for a
// moment: an order is not given up for that.
func (l *log) insist(ctx context.Context, o order, changes ...change) (order, error) {
	ctx, cancel := context.WithTimeout(store.Begun(ctx), recordTime)
	defer cancel()
	for {
		next, err := l.append(ctx, o, changes...)
		if !notDone(err) || backoff.Wait(ctx, recordPause, nil) != nil {
			return next, err
		}
	}
}

// notDone reports whether the database refused a call before it did anything.
func notDone(err error) bool {
	return errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrUnavailable)
}

// extend is the order after changes that happen now, and their events.
func extend(o order, changes []change) (next order, facts []fact, err error) {
	next = o
	for _, c := range changes {
		f := fact{Seq: next.Seq + 1, Kind: c.kind, At: time.Now().UnixNano(), Data: c.data}
		if next, err = next.apply(f); err != nil {
			return order{}, nil, err
		}
		facts = append(facts, f)
	}
	return next, facts, nil
}

func insert(ctx context.Context, tx *store.Tx, id string, f fact) error {
	data, err := encodeData(f.Data)
	if err != nil {
		return err
	}
	return one(tx.Exec(ctx, `INSERT INTO events (order_id, seq, type, data, at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING`,
		id, f.Seq, f.Kind, data, f.At))
}

// project writes the order as it is after facts. A new one belongs to this
// instance; one that is to be undone to whoever comes first.
func (l *log) project(ctx context.Context, tx *store.Tx, o order, facts []fact) (err error) {
	base := o.Seq - int64(len(facts))
	if base == 0 {
		return one(insertOrder(ctx, tx, o, l.owner, time.Now().Add(leaseTime)))
	}
	release := ""
	if k := facts[len(facts)-1].Kind; k == kindFailed || k == kindWithdrawn {
		release = `, owner = '', lease = 0`
	}
	return one(tx.Exec(ctx, `UPDATE orders SET seq = ?, state = ?, code = ?, reason = ?, at = ?`+release+` WHERE id = ? AND seq = ?`,
		o.Seq, o.State, o.Code, o.Reason, o.At, o.ID, base))
}

// one wants a statement to have changed its row; another was first if not.
func one(n int64, err error) error {
	if err == nil && n == 0 {
		return errConflict
	}
	return err
}

func insertOrder(ctx context.Context, tx *store.Tx, o order, owner string, lease time.Time) (int64, error) {
	items, err := json.Marshal(o.Items)
	if err != nil {
		return 0, err
	}
	lines, err := json.Marshal(o.Lines)
	if err != nil {
		return 0, err
	}
	return tx.Exec(ctx, `INSERT INTO orders (`+columns+`, owner, lease) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		o.ID, o.Seq, o.State, o.Customer, string(items), string(lines), o.Amount, o.Trace, o.Code, o.Reason, o.At, owner, lease.UnixNano())
}

const columns = `id, seq, state, customer, items, lines, amount, trace, code, reason, at`

// find is an order as it stands; found is false when it was never placed.
func (l *log) find(ctx context.Context, id string) (o order, found bool, err error) {
	o, err = scanOrder(l.db.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = ?`, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return order{}, false, nil
	case err != nil:
		return order{}, false, fmt.Errorf("read order %s: %w", id, err)
	}
	return o, true, nil
}

// scanOrder reads columns, and what follows them into more.
func scanOrder(row interface{ Scan(...any) error }, more ...any) (o order, err error) {
	var items, lines string
	into := []any{&o.ID, &o.Seq, &o.State, &o.Customer, &items, &lines, &o.Amount, &o.Trace, &o.Code, &o.Reason, &o.At}
	if err := row.Scan(append(into, more...)...); err != nil {
		return order{}, err
	}
	return o, errors.Join(json.Unmarshal([]byte(items), &o.Items), json.Unmarshal([]byte(lines), &o.Lines))
}
