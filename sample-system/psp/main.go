// Package psp is the outside payment provider. It is not ours to make
// resilient; what it offers its callers is what good providers offer: commands
// that are idempotent by key, and books of its own.
package psp

import (
	"context"
	"strings"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves a provider. Each one has books of its own, under its own name.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, strings.ReplaceAll(h.Name, "-", "_"), schema)
	if err != nil {
		return err
	}
	b := &book{db: db}
	h.Handle("POST /charges", b.handleCharge)
	h.Handle("POST /refunds", b.handleReverse("refund"))
	h.Handle("POST /voids", b.handleReverse("void"))
	h.HandleOps("GET /audit/money", audit.Serve(db, `
		SELECT order_id, key || '/' || id, effect, kind, at, key AS charge FROM entries ORDER BY id`))
	return nil
}
