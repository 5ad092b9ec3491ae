package psp

import (
	"net/http"

	"squall/sample-system/internal/service"
)

// ChargeRequest takes money. The Idempotency-Key header names the charge.
type ChargeRequest struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount_cents"`
}

// ReverseRequest gives the money of a charge back, or makes sure that a charge
// nobody has seen yet never happens.
type ReverseRequest struct {
	Key   string `json:"key"` // of the charge
	Order string `json:"order"`
}

// Answer says what became of a charge.
type Answer struct {
	State string `json:"state"`
}

func (b *book) handleCharge(w http.ResponseWriter, r *http.Request) error {
	var req ChargeRequest
	if err := service.ReadJSON(w, r, &req); err != nil {
		return err
	}
	key := r.Header.Get(service.IdempotencyHeader)
	if !service.ValidID(key) || !service.ValidID(req.Order) || req.Amount <= 0 {
		return service.Invalid("want an Idempotency-Key, an order and a positive amount_cents")
	}
	state, err := b.charge(r.Context(), key, req)
	if err != nil {
		return err
	}
	switch state {
	case charged:
		return service.WriteJSON(w, http.StatusCreated, Answer{state})
	case declined:
		return service.Problem{Status: http.StatusPaymentRequired, Title: "declined", Detail: "the card's limit is exceeded"}
	default:
		return service.Problem{Status: http.StatusConflict, Title: "charge is reversed"}
	}
}

func (b *book) handleReverse(kind string) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var req ReverseRequest
		if err := service.ReadJSON(w, r, &req); err != nil {
			return err
		}
		if !service.ValidID(req.Key) || !service.ValidID(req.Order) {
			return service.Invalid("want the key of the charge and its order")
		}
		if err := b.reverse(r.Context(), kind, req); err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, Answer{reversed})
	}
}
