package gateway

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"squall/sample-system/internal/service"
)

// Page is a product page. The product is required; without one of the other
// parts the page names it under "partial".
type Page struct {
	Product  Product   `json:"product"`
	Stock    *int      `json:"stock,omitempty"` // pieces
	Reviews  *Reviews  `json:"reviews,omitempty"`
	Delivery *Delivery `json:"delivery,omitempty"`
	Partial  []string  `json:"partial,omitempty"` // what is missing
	Stale    bool      `json:"stale,omitempty"`   // something in it is an old one
}

type pages struct {
	assortment *assortment
	extras     *extras
	integrity  integrity
}

// handlePage composes a page; its parts are fetched at the same time.
func (p *pages) handlePage(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if !service.ValidID(sku) {
		return service.BadRequest("sku: want letters, digits and ._:-")
	}
	ctx, cancel := context.WithCancel(r.Context()) // without a product nobody needs the rest
	defer cancel()
	var page Page
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { page.Reviews = p.extras.reviewsOf(ctx, sku) })
	wg.Go(func() { page.Delivery = p.extras.delivery(ctx, sku) })

	found, age, stale, err := p.assortment.find(ctx, sku)
	switch {
	case err != nil:
		cancel()
		return failure(w, "catalog", err)
	case found == nil:
		cancel()
		return service.Problem{Status: http.StatusNotFound, Title: "no such product"}
	}
	wg.Wait()
	page.Product, page.Stock, page.Stale = found.Product, found.Stock, found.Stale || stale
	page.Partial = p.lacks(page, found.Partial)
	if stale {
		markStale(w, age)
	}
	return service.WriteJSON(w, http.StatusOK, page)
}

// lacks are the parts that a page has to do without.
func (p *pages) lacks(page Page, ofProduct []string) []string {
	parts := slices.Clone(ofProduct) // it is the cache's
	if page.Reviews == nil {
		parts = p.integrity.missing(parts, "reviews")
	}
	if page.Delivery == nil {
		parts = p.integrity.missing(parts, "delivery")
	}
	return parts
}

func (p *pages) handleList(w http.ResponseWriter, r *http.Request) error {
	products, age, stale, err := p.assortment.all(r.Context())
	if err != nil {
		return failure(w, "catalog", err)
	}
	if stale {
		markStale(w, age)
	}
	return service.WriteJSON(w, http.StatusOK, struct {
		Products []Product `json:"products"`
		Stale    bool      `json:"stale,omitempty"`
	}{products, stale})
}
