// Package gateway is the shop's front door: it knows who is asking, how much one
// may ask for, which version of a service gets the request, and what to say when
// there is no answer.
package gateway

import (
	"context"
	"errors"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// Setup serves the gateway. CATALOG_URL, REVIEWS_URL, ORDERS_URL, HISTORY_URL,
// USERS_URL and LEGACY_URL are what is behind it, NATS_URL is where the registry
// and the decisions on deployments are. SHOP_IDENTITY=on demands tokens,
// SHOP_RATE sets the requests/s of one client.
func Setup(_ context.Context, h *service.Host) error {
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	d := newDeploys(h, b, deployKey("catalog"), deployKey("reviews"), deployKey("orders"), deployKey("history"), deployKey("users"), migrationKey)
	catalog, err1 := newUpstream(h, b, d, "catalog", catalogPolicy)
	reviews, err2 := newUpstream(h, b, d, "reviews", reviewsPolicy)
	orders, err3 := newUpstream(h, b, d, "orders", orderPolicy)
	history, err4 := newUpstream(h, b, d, "history", historyPolicy)
	users, err5 := newUpstream(h, b, d, "users", profilePolicy)
	legacy, err6 := newUpstream(h, nil, d, "legacy", profilePolicy) // older than the registry
	rates, err7 := newRateLimit(h)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	whole := newIntegrity(h)
	products := newAssortment(h, catalog)
	profile := newStrangler(h, d, legacy, users)
	(&api{
		tokens:  newTokens(h, users),
		rates:   rates,
		pages:   &pages{assortment: products, extras: newExtras(h, b, reviews), integrity: whole},
		shop:    &shop{orders: orders, lookUp: orders.with(h, lookUpPolicy), history: history, integrity: whole},
		session: &session{users: users, integrity: whole},
		profile: profile,
	}).routes(h)
	(&control{deploys: d, services: byName(catalog, reviews, orders, history, users), profile: profile, flush: products.handleFlush}).routes(h)
	h.Check("bus", false, connected(b))
	watchCanaries(h, catalog, reviews, orders, history, users)
	return nil
}
