// Package inventory holds stock for orders: reserved, then committed, or
// released.
package inventory

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves inventory. NATS_URL is the bus.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "inventory", schema)
	if err != nil {
		return err
	}
	nats, err := bus.Connect(h)
	if err != nil {
		return err
	}
	s := &shelf{db: db}
	h.Handle("POST /reservations", s.handleReserve)
	h.Handle("POST /reservations/{order}/commit", s.handleStep(s.commit))
	h.Handle("POST /reservations/{order}/release", s.handleStep(s.release))
	h.Handle("GET /stock/{sku}", s.handleStock)
	h.HandleOps("GET /audit/reservations", audit.Serve(db, `
		SELECT order_id, order_id || '/' || id, effect, kind, at, pieces FROM entries ORDER BY id`))
	e := &expiry{shelf: s, log: h.Logger}
	h.Go("expiry", e.run)
	registry.Register(h, nats, h.Addr)
	return nil
}
