package catalog

import (
	"errors"
	"net/http"
	"strconv"

	"squall/sample-system/internal/service"
)

// Product is what the catalog says about a product.
type Product struct {
	SKU     string   `json:"sku"`
	Title   string   `json:"title"`
	Price   int64    `json:"price_cents"`
	Stock   *int     `json:"stock,omitempty"`   // pieces available; not in the list, and absent when unknown
	Version string   `json:"version"`           // of the release that answers
	Stale   bool     `json:"stale,omitempty"`   // the stock is an old one
	Partial []string `json:"partial,omitempty"` // what is missing
}

type catalog struct {
	products *products
	stock    *stock
	version  string
}

func (c *catalog) handleList(w http.ResponseWriter, r *http.Request) error {
	rows, err := c.products.list(r.Context())
	if err != nil {
		return err
	}
	all := make([]Product, len(rows))
	for i, p := range rows {
		all[i] = Product{SKU: p.sku, Title: p.title, Price: p.price, Version: c.version}
	}
	return service.WriteJSON(w, http.StatusOK, map[string][]Product{"products": all})
}

// handleGet answers a product with its stock. The price decides whether it can
// be sold; how many there are is a help, and inventory has the last word on it
// when an order is placed. So a page without stock is better than none.
func (c *catalog) handleGet(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if !service.ValidID(sku) {
		return service.BadRequest("sku: want letters, digits and ._:-")
	}
	p, err := c.products.get(r.Context(), sku)
	switch {
	case errors.Is(err, errNoProduct):
		return service.Problem{Status: http.StatusNotFound, Title: "no such product"}
	case err != nil:
		return err
	}
	answer := Product{SKU: p.sku, Title: p.title, Price: p.price, Version: c.version}
	available, age, stale, err := c.stock.get(r.Context(), sku)
	switch {
	case err != nil:
		answer.Partial = []string{"stock"}
	case stale:
		answer.Stale = true
		w.Header().Set("Age", strconv.Itoa(int(age.Seconds())))
		w.Header().Set("Warning", `110 - "Response is Stale"`)
		fallthrough
	default:
		answer.Stock = &available
	}
	return service.WriteJSON(w, http.StatusOK, answer)
}
