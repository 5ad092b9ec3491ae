// Pricing.
//
// Answers: a call that fails in the middle of putting an order together. The
// whole assembly is repeated, and starts each time with an empty list: what an
// attempt has built belongs to it alone.
// Numbers: one call per line, one after the other, since most orders have one
// to three; 500 ms for all of them, where a few ms are usual; 3 attempts.
// Costs: lines that were priced already are priced again.
// Breaks without it: scenario blip; TestPricingStartsAnew, whose second call of three fails.
// Off switch: D32, the list is kept, so lines are in it twice.

package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

type pricing struct {
	catalog *edge
	keeps   bool // D32
}

func newPricing(h *service.Host, catalog *call.Client) *pricing {
	return &pricing{
		catalog: &edge{catalog, policy.New(h, catalog.Edge, policy.Options{
			Retry:   &policy.Retry{Attempts: retryAttempts, Delay: retryDelay, MaxDelay: retryMaxDelay},
			Breaker: true, Bulkhead: pricingsAtOnce, Timeout: pricingTime,
		})},
		keeps: h.Defects.Has(defect.RetryKeepsState),
	}
}

// price looks up what the items cost; amount is in cents. Nothing has happened
// when it fails, which its errors say.
func (p *pricing) price(ctx context.Context, order Place) (lines []Line, amount int64, err error) {
	err = p.catalog.guard.Run(ctx, order.ID, func(ctx context.Context, _ string) error {
		if !p.keeps {
			lines = nil
		}
		for _, i := range order.Items {
			price, err := p.of(ctx, i.SKU)
			if err != nil {
				return err
			}
			lines = append(lines, Line{i.SKU, i.Qty, price})
		}
		return nil
	})
	if err != nil {
		return nil, 0, unpriced(err)
	}
	for _, l := range lines {
		amount += int64(l.Qty) * l.Price
	}
	return lines, amount, nil
}

func (p *pricing) of(ctx context.Context, sku string) (int64, error) {
	var product struct {
		SKU   string `json:"sku"`
		Price int64  `json:"price_cents"`
	}
	if err := p.catalog.client.Get(ctx, "/products/"+sku, &product); err != nil {
		return 0, err
	}
	if product.SKU != sku || product.Price <= 0 || product.Price > maxPrice {
		return 0, &call.LostError{Edge: p.catalog.client.Edge, Err: fmt.Errorf("answer is not the price of %s", sku)}
	}
	return product.Price, nil
}

func unpriced(err error) error {
	var status *call.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return service.Invalid("no such product").NotExecuted()
	}
	return service.Problem{Status: http.StatusServiceUnavailable, Title: "no prices", Detail: err.Error()}.NotExecuted()
}
