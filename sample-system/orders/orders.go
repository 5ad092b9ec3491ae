// Package orders runs each checkout as a saga over inventory and payments, and
// tells the rest of the shop about confirmed orders.
package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Order is the command to place an order; its id is also the idempotency key.
type Order struct {
	ID       string `json:"id"`
	SKU      string `json:"sku"`
	Qty      int    `json:"qty"`
	Amount   int64  `json:"amount_cents"`
	Customer string `json:"customer"`
}

// Status is what became of an order.
type Status struct {
	ID     string `json:"id"`
	Status string `json:"status"` // confirmed, cancelled or pending
	Reason string `json:"reason,omitempty"`
}

// Setup serves orders. INVENTORY_URL, PAYMENTS_URL and NATS_URL are what it needs.
func Setup(ctx context.Context, h *service.Host) error {
	inventoryURL, err := h.URL("INVENTORY_URL")
	if err != nil {
		return err
	}
	paymentsURL, err := h.URL("PAYMENTS_URL")
	if err != nil {
		return err
	}
	db, err := store.Open(h, "orders.db", schema)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	l := &log{db: db}
	steps := newSteps(h, call.New(h, "inventory", inventoryURL), call.New(h, "payments", paymentsURL))
	comp := newCompensator(h, l, steps)
	if err := comp.resume(ctx); err != nil {
		return err
	}
	relay := newRelay(h, db, b)
	o := &orchestrator{log: l, steps: steps, compensator: comp, relay: relay.wake, done: newSagaCounter(h)}

	h.Handle("POST /orders", o.handlePlace)
	h.Handle("GET /orders/{id}", o.handleGet)
	h.HandleBooks("GET /audit/orders", audit.Serve(db.Read, `
		SELECT id, id, 0, CASE state WHEN 'confirmed' THEN 'confirmed' WHEN 'cancelled' THEN 'cancelled' ELSE 'pending' END,
			json_object('step', state, 'reason', reason), at FROM sagas ORDER BY at`))
	h.GaugeFunc("saga_pending", "Sagas without a final state.", nil,
		db.Count(`SELECT count(*) FROM sagas WHERE state NOT IN ('confirmed', 'cancelled')`))
	h.GaugeFunc("outbox_pending", "Events not yet on the bus.", nil, db.Count(`SELECT count(*) FROM outbox`))
	h.Go("compensator", comp.run)
	h.Go("relay", relay.run)
	return nil
}

func (o *orchestrator) handlePlace(w http.ResponseWriter, r *http.Request) error {
	var order Order
	if err := service.ReadJSON(w, r, &order); err != nil {
		return err
	}
	key := r.Header.Get(service.IdempotencyHeader)
	if !service.ValidID(order.ID) || key != order.ID || order.SKU == "" || order.Qty <= 0 || order.Amount <= 0 || order.Customer == "" {
		return service.Invalid("want an id that is also the Idempotency-Key, a sku, a customer, a positive qty and amount_cents")
	}
	s, err := o.place(r.Context(), order)
	switch {
	case errors.Is(err, errOverloaded):
		w.Header().Set("Retry-After", "1")
		return service.Problem{Status: http.StatusServiceUnavailable, Title: "too many orders to undo", Detail: "the order was not placed"}.NotExecuted()
	case err != nil:
		return err
	case s.order != order:
		return service.Invalid("the Idempotency-Key was used for another order")
	case s.state == stateConfirmed:
		return service.WriteJSON(w, http.StatusCreated, s.status())
	default:
		return service.WriteJSON(w, s.code, s.status())
	}
}

func (o *orchestrator) handleGet(w http.ResponseWriter, r *http.Request) error {
	s, found, err := o.log.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return fmt.Errorf("get order: %w", err)
	}
	if !found {
		return service.Problem{Status: http.StatusNotFound, Title: "no such order"}
	}
	status := s.status()
	if !s.final() {
		status.Status = "pending"
	}
	return service.WriteJSON(w, http.StatusOK, status)
}
