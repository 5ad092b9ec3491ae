// Read model.
//
// Answers: questions that the write side is not made for ("all orders of a
// customer"), which would otherwise load the database that checkouts need, and
// fail when orders does. The view of an order is that of its last event in the
// stream: events are applied in batches, one transaction each, duplicates are
// dropped by order and version, and a late redelivery changes nothing that is
// younger. Where the stream itself has an older version behind a newer one the
// view follows the stream, and says so: the producer broke the order.
// Numbers: batches of 64 or 50 ms (main.go): some 20 commits a second at most.
// Costs: the view is behind by those 50 ms (staleness.go), and data are stored twice.
// Breaks without it: TestProjection.
// No off switch of its own: see D16 (internal/bus/ack.go) and D34 (orders/relay.go).

package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// shadow is the suffix of the tables that a rebuild fills.
const shadow = "_next"

func schema(suffix string) string {
	return strings.ReplaceAll(`
CREATE TABLE IF NOT EXISTS order_view$ (
	order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, amount_cents BIGINT NOT NULL,
	version BIGINT NOT NULL, stream_seq BIGINT NOT NULL, disorder BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE INDEX IF NOT EXISTS order_view$_customer ON order_view$ (customer, at);
CREATE TABLE IF NOT EXISTS applied$ (order_id TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (order_id, version));
`, "$", suffix)
}

const viewQuery = `
SELECT order_id, order_id, CASE WHEN status = 'confirmed' THEN 1 ELSE 0 END, status, at,
	customer, CAST(amount_cents AS TEXT) AS amount_cents, CAST(version AS TEXT) AS version, CAST(disorder AS TEXT) AS out_of_order
FROM order_view ORDER BY at`

// projector applies events to the view.
type projector struct {
	db     *store.DB
	events *event.Decoder
	log    func(msg string, args ...any)

	mu       sync.Mutex // held while the view changes
	applied  *prometheus.CounterVec
	disorder prometheus.Counter
}

func newProjector(h *service.Host, db *store.DB) *projector {
	return &projector{
		db: db, events: event.NewDecoder(h), log: h.Logger.Warn,
		applied:  h.Counter("history_events_total", "Events received, by what became of them.", "result"),
		disorder: h.Counter("history_out_of_order_total", "Events whose version is older than that of one before them in the stream.").WithLabelValues(),
	}
}

// item is an event and where it stands in the stream.
type item struct {
	event.Event
	pos      uint64
	replayed bool
}

func (p *projector) decode(m bus.Message) (item, error) {
	e, err := p.events.Decode(m.Data)
	return item{e, m.Seq, m.Replayed()}, bus.Permanent(err)
}

// handle applies a batch, all or nothing.
func (p *projector) handle(ctx context.Context, batch []bus.Message) error {
	items := make([]item, 0, len(batch))
	for _, m := range batch {
		i, err := p.decode(m)
		if err != nil {
			return err
		}
		items = append(items, i)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	results, err := p.apply(ctx, "", items)
	if err != nil {
		return fmt.Errorf("apply events: %w", err)
	}
	for i, result := range results {
		p.applied.WithLabelValues(result).Inc()
		if result == outOfOrder {
			p.disorder.Inc()
			p.log("event out of order", "op", items[i].Key, "version", items[i].Seq)
		}
	}
	return nil
}

// What became of an event.
const (
	applied    = "applied"
	duplicate  = "duplicate"
	late       = "late" // redelivered or replayed after a younger one
	outOfOrder = "out_of_order"
)

// apply writes events into the tables of that suffix in one transaction.
func (p *projector) apply(ctx context.Context, suffix string, items []item) (results []string, err error) {
	err = p.db.Tx(ctx, func(tx *store.Tx) error {
		results = make([]string, 0, len(items))
		for _, i := range items {
			result, err := applyOne(ctx, tx, suffix, i)
			if err != nil {
				return fmt.Errorf("order %s version %d: %w", i.Key, i.Seq, err)
			}
			results = append(results, result)
		}
		return nil
	})
	return results, err
}

func applyOne(ctx context.Context, tx *store.Tx, suffix string, i item) (result string, err error) {
	n, err := tx.Exec(ctx, `INSERT INTO applied`+suffix+` (order_id, version) VALUES (?,?) ON CONFLICT DO NOTHING`, i.Key, i.Seq)
	if err != nil || n == 0 {
		return duplicate, err
	}
	var version int64
	var pos uint64
	err = tx.QueryRow(ctx, `SELECT version, stream_seq FROM order_view`+suffix+` WHERE order_id = ?`, i.Key).Scan(&version, &pos)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	disorder := int64(0)
	switch older := i.Seq < version; {
	case i.pos < pos, older && i.replayed:
		return late, nil
	case older:
		result, disorder = outOfOrder, 1
	default:
		result = applied
	}
	_, err = tx.Exec(ctx, `INSERT INTO order_view`+suffix+` AS v (order_id, customer, status, amount_cents, version, stream_seq, disorder, at)
		VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (order_id) DO UPDATE SET customer = excluded.customer, status = excluded.status,
		amount_cents = excluded.amount_cents, version = excluded.version, stream_seq = excluded.stream_seq,
		disorder = v.disorder + excluded.disorder, at = excluded.at`,
		i.Key, i.Data.Customer, strings.TrimPrefix(i.Type, "orders."), i.Data.AmountCents, i.Seq, int64(i.pos), disorder, i.At.UnixNano())
	return result, err
}
