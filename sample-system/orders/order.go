package orders

import (
	"fmt"
	"slices"

	"squall/sample-system/internal/service"
)

// Limits of a command. They keep a body, a row and an event small, and the
// amount far from overflowing.
const (
	maxLines  = 20
	maxQty    = 1000
	maxPrice  = 1_000_000_000 // cents
	maxID     = 120           // the ids of its events are longer, and must be valid ids too
	maxReason = 200
)

// Item is what a customer asks for.
type Item struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// Place is the command to place an order; its id is also the idempotency key.
type Place struct {
	ID       string `json:"id"`
	Items    []Item `json:"items"`
	Customer string `json:"customer"`
}

func (p Place) validate(key string) error {
	if !service.ValidID(p.ID) || len(p.ID) > maxID || key != p.ID || !service.ValidID(p.Customer) {
		return service.Invalid(fmt.Sprintf("want an id of at most %d characters that is also the Idempotency-Key, and a customer", maxID))
	}
	if len(p.Items) == 0 || len(p.Items) > maxLines {
		return service.Invalid(fmt.Sprintf("want 1 to %d items", maxLines))
	}
	seen := map[string]bool{}
	for _, i := range p.Items {
		if !service.ValidID(i.SKU) || i.Qty < 1 || i.Qty > maxQty || seen[i.SKU] {
			return service.Invalid(fmt.Sprintf("want each item's sku once, and a qty of 1 to %d", maxQty))
		}
		seen[i.SKU] = true
	}
	return nil
}

// Line is an item with the price of one piece, in cents.
type Line struct {
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
	Price int64  `json:"price_cents"`
}

// Status is what became of an order.
type Status struct {
	ID       string `json:"id"`
	Status   string `json:"status"` // confirmed, cancelled or pending
	Reason   string `json:"reason,omitempty"`
	Amount   int64  `json:"amount_cents"`
	Customer string `json:"customer,omitempty"`
	Version  int64  `json:"version"` // of the aggregate: how many events it has
}

// order is the aggregate: what its events add up to.
type order struct {
	ID       string
	Seq      int64 // of its last event; 0: not placed
	State    state
	Customer string
	Items    []Item // as asked for
	Lines    []Line // as reserved and charged
	Amount   int64  // cents
	Trace    string // W3C traceparent of the checkout
	Code     int    // HTTP status of the answer when it was not confirmed
	Reason   string // why not
	At       int64  // of its last event, Unix nanoseconds
}

// same reports whether p asks for what this order already is.
func (o *order) same(p Place) bool {
	return o.Customer == p.Customer && slices.Equal(o.Items, p.Items)
}

// answer is the status for the one who placed it. An order that is being
// undone counts as cancelled: it is decided, durable and will be done.
func (o *order) answer() Status {
	s := o.status()
	if o.State.decided() && o.State != stateConfirmed {
		s.Status = string(stateCancelled)
	}
	return s
}

// status is the order as it stands.
func (o *order) status() Status {
	s := Status{ID: o.ID, Status: "pending", Reason: o.Reason, Amount: o.Amount, Customer: o.Customer, Version: o.Seq}
	if o.State.final() {
		s.Status = string(o.State)
	}
	return s
}
