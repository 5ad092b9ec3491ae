// Package inventory holds stock for orders: reserved, then committed, or
// released.
package inventory

import (
	"context"
	"net/http"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// ReserveRequest asks for stock. The order is the idempotency key.
type ReserveRequest struct {
	Order string `json:"order"`
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
}

// Reservation is the answer to every command.
type Reservation struct {
	Order string `json:"order"`
	State string `json:"state"`
}

// Setup serves inventory.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "inventory.db", schema)
	if err != nil {
		return err
	}
	s := &shelf{db: db}
	h.Handle("POST /reservations", s.handleReserve)
	h.Handle("POST /reservations/{order}/commit", s.handleStep(s.commit))
	h.Handle("POST /reservations/{order}/release", s.handleStep(s.release))
	h.HandleBooks("GET /audit/reservations", audit.Serve(db.Read, `
		SELECT order_id, order_id || '/' || id, effect, kind, '{}', at FROM entries ORDER BY id`))
	e := &expiry{shelf: s, log: h.Logger}
	h.Go("expiry", e.run)
	return nil
}

func (s *shelf) handleReserve(w http.ResponseWriter, r *http.Request) error {
	var req ReserveRequest
	if err := service.ReadJSON(w, r, &req); err != nil {
		return err
	}
	if !service.ValidID(req.Order) || !service.ValidID(req.SKU) || req.Qty <= 0 {
		return service.Invalid("want an order, a sku and a positive qty")
	}
	state, err := s.reserve(r.Context(), req)
	if err != nil {
		return err
	}
	switch state {
	case stateReserved, stateCommitted:
		return service.WriteJSON(w, http.StatusCreated, Reservation{req.Order, state})
	case stateRefused:
		return service.Problem{Status: http.StatusConflict, Title: "out of stock", Detail: "not enough of " + req.SKU}
	default:
		return service.Problem{Status: http.StatusConflict, Title: "reservation is released"}
	}
}

func (s *shelf) handleStep(step func(ctx context.Context, order string) (string, error)) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		order := r.PathValue("order")
		if !service.ValidID(order) {
			return service.Invalid("want an order id in the path")
		}
		state, err := step(r.Context(), order)
		if err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, Reservation{order, state})
	}
}
