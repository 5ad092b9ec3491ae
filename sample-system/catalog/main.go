// Package catalog knows the products, and how many of each inventory has.
package catalog

import (
	"context"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves the catalog. INVENTORY_URL is where stock is asked for, NATS_URL
// where the registry is; SHOP_FAULTY and SHOP_SLOW make it a bad release.
func Setup(ctx context.Context, h *service.Host) error {
	addresses, err := h.Addresses("INVENTORY_URL")
	if err != nil {
		return err
	}
	rel, err := newRelease(h)
	if err != nil {
		return err
	}
	db, err := store.Open(h, "catalog", schema)
	if err != nil {
		return err
	}
	products := &products{db: db}
	if err := products.seed(ctx); err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	stock := newStock(h, call.New(h, "inventory", registry.NewResolver(h, b, "inventory", addresses)))
	c := &catalog{products: products, stock: stock, version: h.Version}
	h.Handle("GET /products", rel.play(c.handleList))
	h.Handle("GET /products/{sku}", rel.play(c.handleGet))
	h.HandleOps("DELETE /cache", stock.handleFlush)
	h.Check("inventory", false, stock.healthy)
	registry.Register(h, b, h.Addr)
	return nil
}
