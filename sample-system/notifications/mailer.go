package notifications

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS mails (
	id TEXT PRIMARY KEY, event_id TEXT NOT NULL, order_id TEXT NOT NULL, kind TEXT NOT NULL,
	customer TEXT NOT NULL, amount_cents BIGINT NOT NULL, event_at BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS expired (
	stream_seq BIGINT PRIMARY KEY, order_id TEXT NOT NULL, subject TEXT NOT NULL, stored_at BIGINT NOT NULL, at BIGINT NOT NULL);`

// The books. The mail for a cancelled order is no effect of its checkout, so it
// counts as neither done nor undone.
const (
	mailsQuery = `
SELECT order_id, id, CASE WHEN kind = 'orders.confirmed' THEN 1 ELSE 0 END, 'sent', at,
	event_id AS event, kind, customer, CAST((at - event_at) / 1000000 AS TEXT) AS age_ms
FROM mails ORDER BY at`
	expiredQuery = `
SELECT order_id, CAST(stream_seq AS TEXT), 0, 'expired', at, subject, CAST((at - stored_at) / 1000000 AS TEXT) AS age_ms
FROM expired ORDER BY at`
)

// mailer turns events into mails.
type mailer struct {
	events  *event.Decoder
	mailbox *mailbox
	results *prometheus.CounterVec
	lag     prometheus.Observer
}

func newMailer(h *service.Host, db *store.DB) *mailer {
	return &mailer{
		events: event.NewDecoder(h), mailbox: newMailbox(h, db),
		results: h.Counter("notifications_total", "Deliveries of events, by what became of the mail.", "result"),
		lag:     h.Histogram("notification_lag_seconds", "Time from an order's confirmation or cancellation to its mail.").WithLabelValues(),
	}
}

// handle sends the mail of one event.
func (m *mailer) handle(ctx context.Context, msg bus.Message) error {
	result, err := m.send(ctx, msg)
	m.results.WithLabelValues(result).Inc()
	return err
}

func (m *mailer) send(ctx context.Context, msg bus.Message) (result string, err error) {
	e, err := m.events.Decode(msg.Data)
	if err != nil {
		return "malformed", bus.Permanent(err)
	}
	first, err := m.mailbox.send(ctx, e)
	switch {
	case err != nil:
		return "failed", err
	case !first:
		return "duplicate", nil
	}
	m.lag.Observe(time.Since(e.At).Seconds())
	return "sent", nil
}

// expired notes that a mail was not sent because it came too late.
func (m *mailer) expired(ctx context.Context, msg bus.Message) error {
	err := m.mailbox.expired(ctx, msg)
	if err == nil {
		m.results.WithLabelValues("expired").Inc()
	}
	return err
}
