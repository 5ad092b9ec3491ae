// Package gateway is the shop's front door.
package gateway

import (
	"context"
	"io"
	"net/http"
	"time"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
)

// Checkout is what a client sends.
type Checkout struct {
	SKU      string `json:"sku"`
	Qty      int    `json:"qty"`
	Amount   int64  `json:"amount_cents"`
	Customer string `json:"customer"`
}

// decodeCheckout reads and checks a checkout; its errors are Problems.
func decodeCheckout(r io.Reader) (Checkout, error) {
	var c Checkout
	if err := service.DecodeJSON(r, &c); err != nil {
		return Checkout{}, err
	}
	switch {
	case !service.ValidID(c.SKU):
		return Checkout{}, service.Invalid("sku: want letters, digits and ._:-")
	case c.Qty < 1 || c.Qty > 100:
		return Checkout{}, service.Invalid("qty: want 1 to 100")
	case c.Amount < 1:
		return Checkout{}, service.Invalid("amount_cents: want a positive number")
	case c.Customer == "" || len(c.Customer) > 100:
		return Checkout{}, service.Invalid("customer: want 1 to 100 bytes")
	}
	return c, nil
}

// orderTimeout is how long a client waits at most. Orders answers within 3 s
// of work on the saga; the rest is for its queue and ours. There is no retry
// here: orders retries each step, and retries at two layers multiply.
const orderTimeout = 5 * time.Second

// order is the command for orders.
type order struct {
	ID string `json:"id"`
	Checkout
}

type gateway struct {
	orders  *call.Client
	timeout time.Duration
}

// Setup serves the gateway. ORDERS_URL is where orders is.
func Setup(_ context.Context, h *service.Host) error {
	url, err := h.URL("ORDERS_URL")
	if err != nil {
		return err
	}
	g := &gateway{orders: call.New(h, "orders", url), timeout: orderTimeout}
	h.Handle("POST /checkout", g.checkout)
	h.Handle("GET /orders/{id}", g.order)
	return nil
}

func (g *gateway) checkout(w http.ResponseWriter, r *http.Request) error {
	c, err := decodeCheckout(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	key := r.Header.Get(service.IdempotencyHeader)
	if key == "" {
		key = service.OperationFrom(r.Context()).ID
	}
	if !service.ValidID(key) {
		return service.BadRequest("Idempotency-Key: want letters, digits and ._:-")
	}
	return g.pass(w, r, http.MethodPost, "/orders", key, order{ID: key, Checkout: c})
}

func (g *gateway) order(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !service.ValidID(id) {
		return service.BadRequest("id: want letters, digits and ._:-")
	}
	return g.pass(w, r, http.MethodGet, "/orders/"+id, "", nil)
}

// pass hands a request to orders and its answer to the client. Without an
// answer the status says what is known: 503 if orders never saw the request,
// 504 or 502 if it may have.
func (g *gateway) pass(w http.ResponseWriter, r *http.Request, method, path, key string, body any) error {
	ctx, cancel := context.WithTimeout(r.Context(), g.timeout)
	defer cancel()
	reply, err := g.orders.Do(ctx, method, path, key, body)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", reply.ContentType)
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body) // the status is out; a client that is gone needs no answer
		return nil
	case call.NotSent(err):
		return service.Problem{Status: http.StatusServiceUnavailable, Title: "orders is not available", Detail: "the request was not sent"}.NotExecuted()
	case call.IsTimeout(err):
		return service.Problem{Status: http.StatusGatewayTimeout, Title: "orders did not answer in time", Detail: "the outcome is unknown"}
	default:
		return service.Problem{Status: http.StatusBadGateway, Title: "the answer of orders was lost", Detail: "the outcome is unknown"}
	}
}
