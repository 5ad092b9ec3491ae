package orders

import (
	"context"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

// steps are the calls of the saga, forward and back. Inventory and payments
// know the order, so that each call may be repeated.
type steps struct {
	h                           *service.Host
	budget                      budget
	inventory, payments         *edge
	undoInventory, undoPayments *edge
}

// edge is a callee with the policies in front of it.
type edge struct {
	client *call.Client
	guard  *policy.Guard
}

func newSteps(h *service.Host, inventory, payments *call.Client) *steps {
	b := newBudget(h.Defects)
	forward := policy.Options{
		Retry:   &policy.Retry{Attempts: retryAttempts, Delay: retryDelay, MaxDelay: retryMaxDelay},
		Breaker: true, Bulkhead: callsPerCallee, Timeout: b.attempt,
	}
	// No retry on the way back: the compensator repeats until it succeeds. No
	// breaker either, it asks one order at a time as long as nothing succeeds.
	back := policy.Options{Timeout: attemptTime}
	guarded := func(c *call.Client, o policy.Options) *edge { return &edge{c, policy.New(h, c.Edge, o)} }
	return &steps{
		h: h, budget: b,
		inventory: guarded(inventory, forward), payments: guarded(payments, forward),
		undoInventory: guarded(inventory, back), undoPayments: guarded(payments, back),
	}
}

type reserveRequest struct {
	Order string `json:"order"`
	Lines []Item `json:"lines"`
}

type chargeRequest struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount_cents"`
}

type refundRequest struct {
	Order string `json:"order"`
}

func (s *steps) reserve(ctx context.Context, o order) error {
	return s.post(ctx, s.inventory, "/reservations", o, reserveRequest{o.ID, reserved(o.Lines)})
}

func (s *steps) charge(ctx context.Context, o order) error {
	return s.post(ctx, s.payments, "/charges", o, chargeRequest{o.ID, o.Amount})
}

func (s *steps) commit(ctx context.Context, o order) error {
	return s.post(ctx, s.inventory, "/reservations/"+o.ID+"/commit", o, nil)
}

func (s *steps) refund(ctx context.Context, o order) error {
	return s.post(ctx, s.undoPayments, "/refunds", o, refundRequest{o.ID})
}

func (s *steps) release(ctx context.Context, o order) error {
	return s.post(ctx, s.undoInventory, "/reservations/"+o.ID+"/release", o, nil)
}

// post makes one step; its error is a *stepError.
func (s *steps) post(ctx context.Context, e *edge, path string, o order, in any) error {
	outcome := newOutcome(s.h.Defects)
	return outcome.of(e.guard.Run(ctx, o.ID, func(attempt context.Context, key string) error {
		return outcome.attempt(attempt, func(attempt context.Context) error {
			told, cancel := s.budget.told(ctx, attempt)
			defer cancel()
			return e.client.Post(told, path, key, in, nil)
		})
	}))
}

func reserved(lines []Line) []Item {
	items := make([]Item, len(lines))
	for i, l := range lines {
		items[i] = Item{l.SKU, l.Qty}
	}
	return items
}
