// Package payments charges an order at one of two outside providers, and gives
// the money back. Its instances share one database.
package payments

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves payments. PSP_PRIMARY_URL and PSP_BACKUP_URL are the providers,
// NATS_URL is the bus.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "payments", schema)
	if err != nil {
		return err
	}
	nats, err := bus.Connect(h)
	if err != nil {
		return err
	}
	b := newBook(db)
	providers, err := newFallback(h, b)
	if err != nil {
		return err
	}
	r := newReconciler(h, b, providers, leader.Elect(h, nats, election))
	p := &payments{
		charges: &charges{book: b, provider: providers},
		refunds: newRefunds(h, b),
	}
	h.Handle("POST /charges", p.handleCharge)
	h.Handle("POST /refunds", p.handleRefund)
	h.HandleOps("GET /audit/charges", audit.Serve(db, `
		SELECT order_id, key || '/' || id, effect, kind, at, key AS charge FROM entries ORDER BY id`))
	h.HandleOps("GET /audit/reversals", audit.Serve(db, `
		SELECT order_id, attempt || '/' || id, 1, kind, at, attempt, term, writer FROM reversals ORDER BY id`))
	h.GaugeFunc("payments_reversals_pending", "Voids and refunds that a provider has not confirmed yet.", nil,
		db.Count(`SELECT count(*) FROM attempts WHERE state IN ('void', 'refund')`))
	h.Go("reconciler", r.run)
	registry.Register(h, nats, h.Addr)
	return nil
}
