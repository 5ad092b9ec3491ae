// Cache of stock.
//
// Answers: a page that is asked for far more often than stock changes; and
// inventory being slow or away, for which no page need be missing. One load at a
// time for each product, and an old number, marked, when there is no new one.
// Numbers: fresh for 500 ms, so inventory sees at most two requests a second for
// a product and instance; served stale for up to 10 minutes, after which nothing
// is better than a wrong number. An attempt at a load gets 300 ms, of which a
// page has time for two.
// Costs: a product just sold out shows as available for half a second; the
// reservation says no.
// Breaks without it: TestStockStale. Off switch: D27, see
// internal/policy/cache.go: every request that misses loads.

package catalog

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

const (
	stockFresh = 500 * time.Millisecond
	stockStale = 10 * time.Minute
)

type stock struct {
	client *call.Client
	guard  *policy.Guard
	cache  *policy.Cache[int]
	last   atomic.Pointer[error] // of the last load
}

func newStock(h *service.Host, inventory *call.Client) *stock {
	return &stock{
		client: inventory,
		guard: policy.New(h, inventory.Edge, policy.Options{
			Retry:   &policy.Retry{Attempts: 2, Delay: 20 * time.Millisecond, MaxDelay: 100 * time.Millisecond},
			Breaker: true, Bulkhead: 32, Timeout: 300 * time.Millisecond,
		}),
		cache: policy.NewCache[int](h, "stock", stockFresh, stockStale),
	}
}

// get is how many pieces are available, and how old that number is.
func (s *stock) get(ctx context.Context, sku string) (n int, age time.Duration, stale bool, err error) {
	return s.cache.Get(ctx, sku, func(ctx context.Context) (int, error) { return s.load(ctx, sku) })
}

func (s *stock) load(ctx context.Context, sku string) (int, error) {
	var available int
	err := s.guard.Run(ctx, "", func(ctx context.Context, _ string) error {
		var answer struct {
			SKU       string `json:"sku"`
			Available *int   `json:"available"`
		}
		if err := s.client.Get(ctx, "/stock/"+sku, &answer); err != nil {
			return err
		}
		if answer.Available == nil || *answer.Available < 0 {
			return fmt.Errorf("stock of %s: inventory gave no number", sku)
		}
		available = *answer.Available
		return nil
	})
	s.last.Store(&err)
	return available, err
}

// healthy is the outcome of the last load. It asks nobody: a probe of its own
// would only add load to an inventory that has too much of it.
func (s *stock) healthy(context.Context) error {
	if last := s.last.Load(); last != nil {
		return *last
	}
	return nil
}

func (s *stock) handleFlush(w http.ResponseWriter, _ *http.Request) error {
	s.cache.Flush()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
