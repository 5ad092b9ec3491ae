// Package history is the read side of orders: what each customer has ordered,
// projected from the events into a database of its own.
package history

import (
	"context"
	"time"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup runs history. NATS_URL is the bus.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "history", schema("")+schema(shadow))
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	p := newProjector(h, db)
	c := b.ConsumeBatches(h, bus.ConsumerOptions{Name: "history"}, bus.BatchOptions{Size: 64, Wait: 50 * time.Millisecond}, p.handle)
	h.Check("consumer", false, c.Ready) // without it the view is only stale, and says so
	s := newStaleness(h, c)
	registry.Register(h, b, h.Addr)
	h.Handle("GET /customers/{customer}/orders", (&reader{db, s}).handle)
	h.HandleOps("POST /rebuild", (&rebuilder{p: p, bus: b}).handle)
	h.HandleOps("GET /audit/view", audit.Serve(db, viewQuery))
	h.HandleOps("GET /audit/dlq", b.AuditLetters("history"))
	return nil
}
