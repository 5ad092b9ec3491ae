// Package payments charges an order at one of two outside providers, and
// gives the money back.
package payments

import (
	"context"
	"net/http"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// ChargeRequest asks for the money of an order. The Idempotency-Key header
// names the charge: the same key never takes money twice.
type ChargeRequest struct {
	Order  string `json:"order"`
	Amount int64  `json:"amount_cents"`
}

// RefundRequest gives back whatever was taken for an order.
type RefundRequest struct {
	Order string `json:"order"`
}

// Receipt is the answer to a charge or refund that succeeded.
type Receipt struct {
	Order    string `json:"order"`
	Status   string `json:"status"`
	Provider string `json:"provider,omitempty"`
}

type payments struct {
	charges *charges
	refunds *refunds
}

// Setup serves payments. PSP_PRIMARY_URL and PSP_BACKUP_URL are the providers.
func Setup(ctx context.Context, h *service.Host) error {
	db, err := store.Open(h, "payments.db", schema)
	if err != nil {
		return err
	}
	b := &book{db: db}
	providers, err := newFallback(h, b)
	if err != nil {
		return err
	}
	if err := b.voidInterrupted(ctx); err != nil {
		return err
	}
	r := newReconciler(h, b, providers)
	p := &payments{
		charges: &charges{book: b, provider: providers, reconcile: r.wake},
		refunds: newRefunds(h, b, r.wake),
	}

	h.Handle("POST /charges", p.handleCharge)
	h.Handle("POST /refunds", p.handleRefund)
	h.HandleBooks("GET /audit/charges", audit.Serve(db.Read, `
		SELECT order_id, key || '/' || id, effect, kind, json_object('charge', key), at FROM entries ORDER BY id`))
	h.GaugeFunc("payments_reversals_pending", "Voids and refunds that a provider has not confirmed yet.", nil,
		db.Count(`SELECT count(*) FROM attempts WHERE state IN ('void', 'refund')`))
	h.Go("reconciler", r.run)
	return nil
}

func (p *payments) handleCharge(w http.ResponseWriter, r *http.Request) error {
	var req ChargeRequest
	if err := service.ReadJSON(w, r, &req); err != nil {
		return err
	}
	key := r.Header.Get(service.IdempotencyHeader)
	if !service.ValidID(key) || !service.ValidID(req.Order) || req.Amount <= 0 {
		return service.Invalid("want an Idempotency-Key, an order and a positive amount_cents")
	}
	result, err := p.charges.charge(r.Context(), key, req)
	if err != nil {
		return err
	}
	switch result.status {
	case statusCharged:
		return service.WriteJSON(w, http.StatusCreated, Receipt{req.Order, result.status, result.provider})
	case statusDeclined:
		return service.Problem{Status: http.StatusPaymentRequired, Title: "declined", Detail: "the provider declined the card"}
	case statusRefunded:
		return service.Problem{Status: http.StatusConflict, Title: "order is refunded"}
	default:
		w.Header().Set("Retry-After", "1")
		return service.Problem{Status: http.StatusServiceUnavailable, Title: "no provider available"}
	}
}

func (p *payments) handleRefund(w http.ResponseWriter, r *http.Request) error {
	var req RefundRequest
	if err := service.ReadJSON(w, r, &req); err != nil {
		return err
	}
	if !service.ValidID(req.Order) {
		return service.Invalid("want an order")
	}
	if err := p.refunds.refund(r.Context(), req.Order); err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, Receipt{Order: req.Order, Status: statusRefunded})
}
