package orders

import (
	"context"
	"time"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
)

// steps are the calls of the saga, forward and back.
type steps struct {
	inventory, payments           *call.Client
	inventoryRetry, paymentsRetry *retry
}

func newSteps(h *service.Host, inventory, payments *call.Client) *steps {
	return &steps{
		inventory: inventory, inventoryRetry: newRetry(h, inventory.Edge),
		payments: payments, paymentsRetry: newRetry(h, payments.Edge),
	}
}

type reserveRequest struct {
	Order string `json:"order"`
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
}

type chargeRequest struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount_cents"`
}

type refundRequest struct {
	Order string `json:"order"`
}

func (s *steps) reserve(ctx context.Context, o Order) error {
	return s.inventoryRetry.do(ctx, o.ID, func(ctx context.Context, key string) error {
		return s.inventory.Post(ctx, "/reservations", key, reserveRequest{o.ID, o.SKU, o.Qty}, nil)
	})
}

func (s *steps) charge(ctx context.Context, o Order) error {
	return s.paymentsRetry.do(ctx, o.ID, func(ctx context.Context, key string) error {
		return s.payments.Post(ctx, "/charges", key, chargeRequest{o.ID, o.Amount}, nil)
	})
}

func (s *steps) commit(ctx context.Context, o Order) error {
	return s.inventoryRetry.do(ctx, o.ID, func(ctx context.Context, key string) error {
		return s.inventory.Post(ctx, "/reservations/"+o.ID+"/commit", key, nil, nil)
	})
}

// compensationTimeout bounds one compensating call. These have no retry of
// their own: the compensator repeats them until they succeed.
const compensationTimeout = 1200 * time.Millisecond

func (s *steps) refund(ctx context.Context, o Order) error {
	ctx, cancel := context.WithTimeout(ctx, compensationTimeout)
	defer cancel()
	return s.payments.Post(ctx, "/refunds", o.ID, refundRequest{o.ID}, nil)
}

func (s *steps) release(ctx context.Context, o Order) error {
	ctx, cancel := context.WithTimeout(ctx, compensationTimeout)
	defer cancel()
	return s.inventory.Post(ctx, "/reservations/"+o.ID+"/release", o.ID, nil, nil)
}
