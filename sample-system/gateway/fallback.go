// Fallback of optional parts.
//
// Answers: reviews or the delivery quote being down or slow, of which a product
// page need not fall. The page is served without them, and says so.
// Numbers: reviews get 250 ms, the quote 150 ms; a breaker each, so that a page
// does not even wait for that when they are down for longer.
// Costs: a page that sells a little less well.
// Breaks without it: scenario reviews-down; TestPageWithoutOptionalParts. No off switch; D31
// (partial.go) hides that something is missing.

package gateway

import (
	"context"
	"fmt"
	"time"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// Reviews are what customers think of a product.
type Reviews struct {
	Stars   float64  `json:"stars"`
	Reviews []Review `json:"reviews"`
}

// Review is one customer's opinion.
type Review struct {
	Author string `json:"author"`
	Stars  int    `json:"stars"`
	Text   string `json:"text"`
}

// Delivery is how long a parcel takes.
type Delivery struct {
	Days int `json:"days"`
}

// extras are the optional parts of a product page.
type extras struct {
	reviews   *upstream
	bus       *bus.Bus
	quotes    *policy.Guard
	integrity integrity
}

var quotePolicy = policy.Options{Breaker: true, Bulkhead: 32, Timeout: 150 * time.Millisecond}

func newExtras(h *service.Host, b *bus.Bus, reviews *upstream) *extras {
	return &extras{reviews: reviews, bus: b, quotes: policy.New(h, h.Service+" -> shipping", quotePolicy), integrity: newIntegrity(h)}
}

// reviewsOf is nil when reviews cannot say.
func (e *extras) reviewsOf(ctx context.Context, sku string) *Reviews {
	reply, err := e.reviews.get(ctx, "/reviews/"+sku)
	var got Reviews
	if err == nil {
		err = e.integrity.decode(reply, &got, func() error {
			if got.Reviews == nil || got.Stars < 0 || got.Stars > 5 {
				return fmt.Errorf("reviews of %s make no sense", sku)
			}
			return nil
		})
	}
	if err != nil {
		tracing.Event(ctx, "fallback", "without", "reviews", "cause", err)
		return nil
	}
	return &got
}

// delivery is nil when shipping cannot say.
func (e *extras) delivery(ctx context.Context, sku string) *Delivery {
	got, err := policy.Read(ctx, e.quotes, func(ctx context.Context) (Delivery, error) {
		var d Delivery
		err := e.bus.Request(ctx, "shipping.quote", map[string]string{"sku": sku}, &d)
		return d, err
	})
	if err == nil && got.Days < 1 {
		err = fmt.Errorf("delivery of %s makes no sense", sku)
	}
	if err != nil {
		tracing.Event(ctx, "fallback", "without", "delivery", "cause", err)
		return nil
	}
	return &got
}
