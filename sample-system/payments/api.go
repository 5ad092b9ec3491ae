package payments

import (
	"net/http"

	"squall/sample-system/internal/service"
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
