// Package notifications sends a mail for each confirmed order.
package notifications

import (
	"context"
	"errors"
	"sync/atomic"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup runs notifications. NATS_URL is the bus.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "notifications.db", schema)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	var consuming atomic.Bool
	h.ReadyWhen(func() error {
		if !consuming.Load() {
			return errors.New("not consuming yet")
		}
		return nil
	})
	results := h.Counter("notifications_total", "Events handled, by result.", "result")
	c := &consumer{
		bus: b, log: h.Logger, mailbox: &mailbox{db: db}, dead: newDeadLetters(h, b),
		results:   results,
		lag:       h.Histogram("notification_lag_seconds", "Time from an order's confirmation to its mail.").WithLabelValues(),
		consuming: &consuming,
	}
	h.HandleBooks("GET /audit/mails", audit.Serve(db.Read, `
		SELECT order_id, order_id, 1, 'sent', json_object('customer', customer), at FROM mails ORDER BY at`))
	h.HandleBooks("GET /audit/dlq", c.dead.handleAudit)
	h.Go("consumer", c.run)
	return nil
}
