// Stale if error.
//
// Answers: the catalog being down. A page with yesterday's price sells; the price
// that is charged is the one that orders asks for when the order is placed.
// Numbers: nothing is served from here as long as the catalog answers, which has
// its own cache; so a page is as fresh as the catalog is. What was last seen is
// served for up to 10 minutes, marked by "stale", Warning and Age (RFC 9111).
// Costs: memory for one answer per product.
// Breaks without it: scenario source-down, TestStalePage. Off switch: D27, no
// single flight, see internal/policy/cache.go.

package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

const (
	pageFresh = 0
	pageStale = 10 * time.Minute
)

// Product is what is for sale.
type Product struct {
	SKU     string `json:"sku"`
	Title   string `json:"title"`
	Price   int64  `json:"price_cents"`
	Version string `json:"version"` // of the catalog that answered
}

// offer is what the catalog says about a product.
type offer struct {
	Product
	Stock   *int     `json:"stock"`
	Stale   bool     `json:"stale"`
	Partial []string `json:"partial"`
}

func (o offer) check() error {
	if o.SKU == "" || o.Title == "" || o.Price <= 0 || o.Stock == nil && len(o.Partial) == 0 {
		return errors.New("product is incomplete")
	}
	return nil
}

// assortment is the catalog, remembered.
type assortment struct {
	catalog   *upstream
	integrity integrity
	product   *policy.Cache[*offer] // nil for a product there is not
	list      *policy.Cache[[]Product]
}

func newAssortment(h *service.Host, catalog *upstream) *assortment {
	return &assortment{
		catalog: catalog, integrity: newIntegrity(h),
		product: policy.NewCache[*offer](h, "product", pageFresh, pageStale),
		list:    policy.NewCache[[]Product](h, "products", pageFresh, pageStale),
	}
}

// find is an offer, nil if there is none, and its age if it is an old one.
func (a *assortment) find(ctx context.Context, sku string) (o *offer, age time.Duration, stale bool, err error) {
	return a.product.Get(ctx, sku, func(ctx context.Context) (*offer, error) {
		reply, err := a.catalog.get(ctx, "/products/"+sku)
		if err != nil {
			return nil, err
		}
		if reply.Status == http.StatusNotFound {
			return nil, nil
		}
		got := &offer{}
		return got, a.integrity.decode(reply, got, func() error { return got.check() })
	})
}

// all are the products, and their age if they are old ones.
func (a *assortment) all(ctx context.Context) (ps []Product, age time.Duration, stale bool, err error) {
	return a.list.Get(ctx, "all", func(ctx context.Context) ([]Product, error) {
		reply, err := a.catalog.get(ctx, "/products")
		if err != nil {
			return nil, err
		}
		var got struct {
			Products []Product `json:"products"`
		}
		err = a.integrity.decode(reply, &got, func() error {
			if len(got.Products) == 0 {
				return errors.New("no products")
			}
			return nil
		})
		return got.Products, err
	})
}

// markStale says in the headers that an answer is an old one.
func markStale(w http.ResponseWriter, age time.Duration) {
	w.Header().Set("Age", strconv.Itoa(int(age.Seconds())))
	w.Header().Set("Warning", `110 - "Response is Stale"`)
}

func (a *assortment) handleFlush(w http.ResponseWriter, _ *http.Request) error {
	a.product.Flush()
	a.list.Flush()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
