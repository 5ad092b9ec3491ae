// Package reviews knows what customers think of products. The shop can do
// without it: a page without reviews still sells.
package reviews

import (
	"context"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves reviews. NATS_URL is where the registry is.
func Setup(ctx context.Context, h *service.Host) error {
	db, err := store.Open(h, "reviews", schema)
	if err != nil {
		return err
	}
	s := &shelf{db: db}
	if err := s.seed(ctx); err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	h.Handle("GET /reviews/{sku}", s.handleGet)
	registry.Register(h, b, h.Addr)
	return nil
}
