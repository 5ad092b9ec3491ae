// Package notifications sends a mail for each order that is confirmed or
// cancelled.
package notifications

import (
	"context"
	"fmt"
	"time"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup runs notifications. NATS_URL is the bus, SHOP_MAIL_TTL how old the news
// of a mail may be (default 20s).
func Setup(_ context.Context, h *service.Host) error {
	ttl, err := mailTTL(h.Getenv("SHOP_MAIL_TTL"))
	if err != nil {
		return fmt.Errorf("configure %s: SHOP_MAIL_TTL: %w", h.Name, err)
	}
	db, err := store.Open(h, "notifications", schema)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	m := newMailer(h, db)
	c := b.Consume(h, bus.ConsumerOptions{
		Name: "notifications", Subjects: []string{event.OrderConfirmed, event.OrderCancelled},
		TTL: ttl, Expired: m.expired,
	}, m.handle)
	h.Check("consumer", true, c.Ready)
	h.HandleOps("GET /audit/mails", audit.Serve(db, mailsQuery))
	h.HandleOps("GET /audit/expired", audit.Serve(db, expiredQuery))
	h.HandleOps("GET /audit/dlq", b.AuditLetters("notifications"))
	return nil
}

// mailTTL: after 20 s a customer has looked at the order's page already.
func mailTTL(s string) (time.Duration, error) {
	if s == "" {
		return 20 * time.Second, nil
	}
	return time.ParseDuration(s)
}
