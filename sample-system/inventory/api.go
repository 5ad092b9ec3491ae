package inventory

import (
	"context"
	"net/http"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// Bounds of a request; a reservation within them is one short transaction.
const (
	maxLines = 50
	maxQty   = initialStock
)

// ReserveRequest asks for stock: all of it, or nothing. The order is the
// idempotency key.
type ReserveRequest struct {
	Order string `json:"order"`
	Lines []Line `json:"lines"`
}

// Line is so many pieces of one article. Several lines may name the same one.
type Line struct {
	SKU string `json:"sku"`
	Qty int64  `json:"qty"`
}

// Reservation is the answer to every command.
type Reservation struct {
	Order string `json:"order"`
	State string `json:"state"`
}

// Stock is how much of an article can be reserved now.
type Stock struct {
	SKU       string `json:"sku"`
	Available int64  `json:"available"`
}

func (r ReserveRequest) valid() bool {
	if !service.ValidID(r.Order) || len(r.Lines) == 0 || len(r.Lines) > maxLines {
		return false
	}
	for _, l := range r.Lines {
		if !service.ValidID(l.SKU) || l.Qty <= 0 || l.Qty > maxQty {
			return false
		}
	}
	return true
}

func (s *shelf) handleReserve(w http.ResponseWriter, r *http.Request) error {
	var req ReserveRequest
	if err := service.ReadJSON(w, r, &req); err != nil {
		return err
	}
	if !req.valid() {
		return service.Invalid("want an order and 1 to 50 lines, each with a sku and a qty from 1 to a million")
	}
	state, err := s.reserve(r.Context(), req)
	if err != nil {
		return err
	}
	switch state {
	case stateReserved, stateCommitted:
		return service.WriteJSON(w, http.StatusCreated, Reservation{req.Order, state})
	case stateRefused:
		return service.Problem{Status: http.StatusConflict, Title: "out of stock", Detail: "not enough of what was ordered"}
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
		state, err := step(store.Begun(r.Context()), order) // the order is under way
		if err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, Reservation{order, state})
	}
}

func (s *shelf) handleStock(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if !service.ValidID(sku) {
		return service.Invalid("want a sku in the path")
	}
	n, err := available(r.Context(), s.db, sku)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, Stock{sku, n})
}
