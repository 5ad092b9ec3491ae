// Package legacy is the monolith from before the services. What is left in it
// are the customers' profiles, which are being moved to users.
package legacy

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves the monolith. It is older than the registry and the bus: it
// needs its database, and is found at a fixed address.
func Setup(ctx context.Context, h *service.Host) error {
	db, err := store.Open(h, "legacy", schema)
	if err != nil {
		return err
	}
	p := &profiles{db: db}
	if err := p.seed(ctx); err != nil {
		return err
	}
	h.Handle("GET /profiles", p.handleList)
	h.Handle("GET /profiles/{customer}", p.handleGet)
	h.Handle("PUT /profiles/{customer}", p.handlePut)
	h.HandleOps("GET /audit/profiles", audit.Serve(db, booksQuery))
	return nil
}
