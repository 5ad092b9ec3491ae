// Transactional outbox.
//
// Answers: a crash, or a bus that is down, between confirming an order and
// telling the others. The event is written in the same transaction as the
// order; this relay publishes it afterwards, as often as it takes. The message
// id is the order's, so that the stream drops what it already has.
// Numbers: 64 events a round keep up with 60 orders/s even when a round takes
// half a second; the pause after a failure grows from 100 ms to 1 s.
// Costs: one more row per order, and events that arrive some ms later.
// Breaks without it: scenarios that kill orders or the bus (mails differ from
// confirmed orders). No off switch.

package orders

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const (
	relayBatch    = 64
	relayInterval = time.Second // a wake-up is immediate
)

// Confirmed is the event on subject orders.confirmed.
type Confirmed struct {
	Version  int    `json:"version"`
	Order    string `json:"order"`
	Customer string `json:"customer"`
	Amount   int64  `json:"amount_cents"`
	At       int64  `json:"confirmed_at"` // Unix nanoseconds
}

// enqueue writes the event of a confirmed order.
func enqueue(ctx context.Context, tx *sql.Tx, s *saga) error {
	event, err := json.Marshal(Confirmed{1, s.order.ID, s.order.Customer, s.order.Amount, time.Now().UnixNano()})
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO outbox (order_id, trace, event) VALUES (?,?,?)`, s.order.ID, s.trace, event)
	return err
}

type relay struct {
	h      *service.Host
	db     *store.DB
	bus    *bus.Bus
	pause  backoff.Backoff
	wakeup chan struct{}
}

func newRelay(h *service.Host, db *store.DB, b *bus.Bus) *relay {
	return &relay{
		h: h, db: db, bus: b,
		pause:  backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second},
		wakeup: make(chan struct{}, 1),
	}
}

func (r *relay) wake() { backoff.Signal(r.wakeup) }

func (r *relay) run(ctx context.Context) error {
	if r.bus.Ensure(ctx) != nil {
		return nil // ended before the bus came up
	}
	failures := 0
	for {
		n, err := r.round(ctx)
		var stopped error
		switch {
		case err != nil:
			failures++
			r.h.Logger.Warn("relay failed, will be repeated", "error", err)
			stopped = backoff.Wait(ctx, r.pause.Delay(failures), nil)
		case n == relayBatch:
			failures = 0
			stopped = ctx.Err()
		default:
			failures = 0
			stopped = backoff.Wait(ctx, relayInterval, r.wakeup)
		}
		if stopped != nil {
			return nil
		}
	}
}

type outboxRow struct {
	id           int64
	order, trace string
	event        []byte
}

// round publishes the oldest events in order and forgets those that the stream
// has confirmed, up to the first that it has not.
func (r *relay) round(ctx context.Context) (int, error) {
	rows, err := r.oldest(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	futures := make([]jetstream.PubAckFuture, 0, len(rows))
	var failed error
	for _, row := range rows {
		f, err := r.bus.JetStream.PublishMsgAsync(message(row))
		if err != nil {
			failed = fmt.Errorf("publish order %s: %w", row.order, err)
			break
		}
		futures = append(futures, f)
	}
	n, err := acknowledged(ctx, futures)
	if n > 0 {
		if _, dbErr := r.db.Write.ExecContext(ctx, `DELETE FROM outbox WHERE id <= ?`, rows[n-1].id); dbErr != nil {
			err = errors.Join(err, fmt.Errorf("forget published events: %w", dbErr))
		}
	}
	return n, errors.Join(failed, err)
}

func acknowledged(ctx context.Context, futures []jetstream.PubAckFuture) (int, error) {
	for i, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err(): // comes after 2 s at the latest
			return i, fmt.Errorf("publish: %w", err)
		case <-ctx.Done():
			return i, ctx.Err()
		}
	}
	return len(futures), nil
}

func message(row outboxRow) *nats.Msg {
	msg := nats.NewMsg(bus.ConfirmedSubject)
	msg.Data = row.event
	msg.Header.Set(jetstream.MsgIDHeader, row.order)
	msg.Header.Set(service.RequestIDHeader, row.order)
	if row.trace != "" {
		msg.Header.Set(service.TraceHeader, row.trace)
	}
	return msg
}

func (r *relay) oldest(ctx context.Context) ([]outboxRow, error) {
	rows, err := r.db.Read.QueryContext(ctx, `SELECT id, order_id, trace, event FROM outbox ORDER BY id LIMIT ?`, relayBatch)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	defer rows.Close()
	var out []outboxRow
	for rows.Next() {
		var row outboxRow
		if err := rows.Scan(&row.id, &row.order, &row.trace, &row.event); err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
