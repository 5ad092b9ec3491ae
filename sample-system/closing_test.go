//go:build e2e || soak

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// outcome is what a customer knows of an order.
type outcome struct {
	id    string
	acked bool
}

// close waits until the books agree on every order, and fails for each that they
// do not agree on.
func (s *shop) close(t *testing.T, outcomes []outcome, within time.Duration) {
	t.Helper()
	open := s.open(outcomes)
	for deadline := time.Now().Add(within); len(open) > 0 && time.Now().Before(deadline); open = s.open(outcomes) {
		<-time.After(200 * time.Millisecond) // poll
	}
	acked := 0
	for _, o := range outcomes {
		if o.acked {
			acked++
		}
	}
	t.Logf("%d orders, %d acknowledged, %d not closed", len(outcomes), acked, len(open))
	assert.Empty(t, open, "orders whose books are not closed")
	assert.Greater(t, acked, len(outcomes)/2, "the shop hardly sold anything")
}

// open are the orders that the books do not agree on: whatever was acknowledged
// must have happened once everywhere, anything else wholly or not at all.
func (s *shop) open(outcomes []outcome) map[string]account {
	whole := account{Order: "confirmed", Charged: 1, Paid: 1, Reserved: 1, Shipped: 1, Mails: 1}
	of, wrong := s.accounts(), map[string]account{}
	for _, o := range outcomes {
		a := of(o.id)
		a.Rows = 0 // a charge repeated and reversed on the way is fine
		never := a == account{} || a == account{Order: "cancelled"}
		if a != whole && (o.acked || !never) {
			wrong[o.id] = a
		}
	}
	return wrong
}
