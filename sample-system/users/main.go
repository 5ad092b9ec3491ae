// Package users knows who the customers are: it signs them in, and keeps their
// profiles, which are being moved here from the legacy monolith.
package users

import (
	"context"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Setup serves users. NATS_URL is where the registry is; SHOP_TOKEN_TTL how
// long a token lives (15m if unset).
func Setup(ctx context.Context, h *service.Host) error {
	db, err := store.Open(h, "users", accountsSchema+keysSchema+profilesSchema)
	if err != nil {
		return err
	}
	key, err := loadKey(ctx, db)
	if err != nil {
		return err
	}
	ttl, err := tokenTTL(h.Getenv("SHOP_TOKEN_TTL"))
	if err != nil {
		return err
	}
	a := &accounts{db: db, tokens: &tokens{key: key, ttl: ttl}}
	if err := a.seed(ctx); err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	p := &profiles{db: db}
	h.Handle("POST /signin", a.handleSignIn)
	h.Handle("GET /.well-known/jwks.json", key.handleJWKS)
	h.Handle("GET /profiles", p.handleList)
	h.Handle("GET /profiles/{customer}", p.handleGet)
	h.Handle("PUT /profiles/{customer}", p.handlePut)
	h.HandleOps("GET /audit/profiles", audit.Serve(db, booksQuery))
	registry.Register(h, b, h.Addr)
	return nil
}
