// Package psp is the outside payment provider. It is not ours to make
// resilient; what it offers its callers is what good providers offer: commands
// that are idempotent by key, and books of its own.
package psp

import (
	"context"
	"net/http"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS charges (
	key TEXT PRIMARY KEY, order_id TEXT NOT NULL, amount INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
	id INTEGER PRIMARY KEY, key TEXT NOT NULL, order_id TEXT NOT NULL, effect INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL);`

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

// Setup serves a provider.
func Setup(_ context.Context, h *service.Host) error {
	db, err := store.Open(h, "psp.db", schema)
	if err != nil {
		return err
	}
	b := &book{db: db}
	h.Handle("POST /charges", b.handleCharge)
	h.Handle("POST /refunds", b.handleReverse("refund"))
	h.Handle("POST /voids", b.handleReverse("void"))
	h.HandleBooks("GET /audit/money", audit.Serve(db.Read, `
		SELECT order_id, key || '/' || id, effect, kind, json_object('charge', key), at FROM entries ORDER BY id`))
	return nil
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
