// Package orders runs each checkout as a saga over catalog, inventory and
// payments, and tells the rest of the shop what became of it.
package orders

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves orders. CATALOG_URL, INVENTORY_URL, PAYMENTS_URL and NATS_URL
// are what it needs; all instances share one database.
func Setup(ctx context.Context, h *service.Host) error {
	db, err := store.Open(h, "orders", schema)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	client := func(callee, addresses string) *call.Client {
		return call.New(h, callee, registry.NewResolver(h, b, callee, h.Getenv(addresses)))
	}
	x := newOutbox(h)
	l := newLog(h, db, x)
	if err := l.reclaim(ctx); err != nil {
		h.Logger.Warn("orders of the last run wait until their leases end", "error", err)
	}
	s := newSteps(h, client("inventory", "INVENTORY_URL"), client("payments", "PAYMENTS_URL"))
	o := newOrchestrator(h, l, s, newPricing(h, client("catalog", "CATALOG_URL")))
	r := newRelay(h, db, x, b, leader.Elect(h, b, relayName).Term)

	h.Handle("POST /orders", o.handlePlace)
	h.Handle("GET /orders/{id}", o.handleGet)
	h.Handle("POST /orders/{id}/cancel", o.handleCancel)
	h.HandleOps("GET /audit/orders", audit.Serve(db, ordersBook))
	h.HandleOps("GET /audit/events", audit.Serve(db, eventsBook))
	h.HandleOps("POST /rebuild", l.handleRebuild)
	h.Check("bus", false, r.connected)
	h.Go("compensator", o.compensator.run)
	h.Go("relay", r.run)
	registry.Register(h, b, h.Addr)
	return nil
}
