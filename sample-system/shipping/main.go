// Package shipping sends what was ordered, and says how long that takes.
package shipping

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup runs shipping. NATS_URL is the bus.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "shipping", schema)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	d := newDesk(h, db)
	c := b.Consume(h, bus.ConsumerOptions{
		Name: "shipping", Subjects: []string{event.OrderConfirmed, event.OrderCancelled},
		Ordered: true, // a cancellation must not overtake its confirmation
	}, d.handle)
	h.Check("consumer", false, c.Ready) // shipments can be looked up without
	b.Serve(h, QuoteSubject, quote)
	registry.Register(h, b, h.Addr)
	h.Handle("GET /shipments/{order}", d.handleGet)
	h.HandleOps("GET /audit/shipments", audit.Serve(db, shipmentsQuery))
	h.HandleOps("GET /audit/dlq", b.AuditLetters("shipping"))
	return nil
}
