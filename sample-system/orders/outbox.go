// Transactional outbox.
//
// Answers: a crash, or a bus that is down, between changing an order and
// telling the others. The event for them is written in the same transaction as
// the order's own; the relay publishes it afterwards, as often as it takes.
// Numbers: none.
// Costs: one more row per event, and events that arrive some ms later.
// Breaks without it: scenario bus-away, TestBusAway. Off switch: D21, the event is published after the commit,
// without a row: what the bus has not taken when the process dies is lost.

package orders

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// message is an event for the rest of the shop.
type message struct {
	id                 int64 // of its row
	order, subject     string
	msgID, trace, body string
}

type outbox struct {
	wake   chan struct{}
	logger *slog.Logger

	direct  bool                                       // D21
	publish func(ctx context.Context, m message) error // under D21; does not wait for the bus
}

func newOutbox(h *service.Host) *outbox {
	return &outbox{wake: make(chan struct{}, 1), logger: h.Logger, direct: h.Defects.Has(defect.PublishWithoutOutbox)}
}

// due are the messages for what has happened to an order, of which o is the
// state after the last: that it was placed, confirmed or cancelled.
func (x *outbox) due(o order, facts []fact) ([]message, error) {
	var due []message
	for i, f := range facts {
		var subject string
		switch {
		case f.Kind == kindPlaced:
			subject = "orders.placed"
		case i == len(facts)-1 && o.State.final():
			subject = "orders." + string(o.State)
		default:
			continue
		}
		m, err := newMessage(o, f, subject)
		if err != nil {
			return nil, err
		}
		due = append(due, m)
	}
	return due, nil
}

func newMessage(o order, f fact, subject string) (message, error) {
	e := event.Event{
		Type: subject, ID: fmt.Sprintf("%s.%d", o.ID, f.Seq), Key: o.ID, Seq: f.Seq, At: time.Unix(0, f.At).UTC(),
		Data: event.Data{Customer: o.Customer, AmountCents: o.Amount},
	}
	if o.State == stateCancelled {
		e.Data.Reason = o.Reason
	}
	for _, l := range o.Lines {
		e.Data.Items = append(e.Data.Items, event.Item{SKU: l.SKU, Qty: l.Qty})
	}
	body, err := event.Encode(e)
	if err != nil {
		return message{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return message{order: o.ID, subject: subject, msgID: e.ID, trace: o.Trace, body: string(body)}, nil
}

// enqueue writes messages in the transaction that they tell of.
func (x *outbox) enqueue(ctx context.Context, tx *store.Tx, due []message) error {
	if x.direct {
		return nil
	}
	for _, m := range due {
		_, err := tx.Exec(ctx, `INSERT INTO outbox (order_id, subject, msg_id, trace, event) VALUES (?,?,?,?,?)`, m.order, m.subject, m.msgID, m.trace, m.body)
		if err != nil {
			return err
		}
	}
	return nil
}

// committed is called when the transaction has ended well.
func (x *outbox) committed(ctx context.Context, due []message) {
	if !x.direct {
		if len(due) > 0 {
			backoff.Signal(x.wake)
		}
		return
	}
	for _, m := range due {
		if err := x.publish(ctx, m); err != nil {
			x.logger.Warn("event lost", "op", m.order, "event", m.msgID, "error", err)
		}
	}
}
