// Idempotent consumer.
//
// Answers: an event that is delivered twice, because its acknowledgement was
// lost or its consumer died before it. The mail's row has the event's id as its
// key, so a second delivery finds it and sends nothing.
// Numbers: none; rows are kept for good.
// Costs: one small transaction per mail.
// Breaks without it: scenario ack-lost, TestMailIsSentOnce.
// Off switch: D17, each delivery has a key of its own and sends a mail.

package notifications

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

type mailbox struct {
	db      *store.DB
	repeats bool // D17
}

func newMailbox(h *service.Host, db *store.DB) *mailbox {
	return &mailbox{db, h.Defects.Has(defect.RepeatEffects)}
}

// send writes the mail of an event and reports whether it is the first.
func (m *mailbox) send(ctx context.Context, e event.Event) (first bool, err error) {
	id := e.ID
	if m.repeats {
		id += "/" + rand.Text()
	}
	n, err := m.db.Exec(ctx, `INSERT INTO mails (id, event_id, order_id, kind, customer, amount_cents, event_at, at)
		VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		id, e.ID, e.Key, e.Type, e.Data.Customer, e.Data.AmountCents, e.At.UnixNano(), time.Now().UnixNano())
	if err != nil {
		return false, fmt.Errorf("send mail for order %s: %w", e.Key, err)
	}
	return n > 0, nil
}

// expired notes a message that came too late; it need not be readable.
func (m *mailbox) expired(ctx context.Context, msg bus.Message) error {
	_, err := m.db.Exec(ctx, `INSERT INTO expired (stream_seq, order_id, subject, stored_at, at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING`,
		int64(msg.Seq), msg.Key(), msg.Subject, msg.At.UnixNano(), time.Now().UnixNano())
	return err
}
