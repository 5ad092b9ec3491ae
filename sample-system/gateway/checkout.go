package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"squall/sample-system/internal/service"
)

// Checkout is what a client sends.
type Checkout struct {
	Items    []Item `json:"items"`
	Customer string `json:"customer"` // with identity on: the token's, if anything
}

// Item is one line of an order.
type Item struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

const maxItems = 20

// decodeCheckout reads and checks a checkout; its errors are Problems or from the reader.
func decodeCheckout(r io.Reader) (Checkout, error) {
	var c Checkout
	if err := service.DecodeJSON(r, &c); err != nil {
		return Checkout{}, err
	}
	if len(c.Items) == 0 || len(c.Items) > maxItems {
		return Checkout{}, service.Invalid(fmt.Sprintf("items: want 1 to %d", maxItems))
	}
	seen := map[string]bool{}
	for _, item := range c.Items {
		switch {
		case !service.ValidID(item.SKU):
			return Checkout{}, service.Invalid("sku: want letters, digits and ._:-")
		case item.Qty < 1 || item.Qty > 100:
			return Checkout{}, service.Invalid("qty: want 1 to 100")
		case seen[item.SKU]:
			return Checkout{}, service.Invalid("items: " + item.SKU + " is there twice")
		}
		seen[item.SKU] = true
	}
	if c.Customer != "" && !service.ValidID(c.Customer) {
		return Checkout{}, service.Invalid("customer: want letters, digits and ._:-")
	}
	return c, nil
}

// order is the command for orders.
type order struct {
	ID       string `json:"id"`
	Items    []Item `json:"items"`
	Customer string `json:"customer"`
}

// shop hands requests on to orders and history.
type shop struct {
	orders    *upstream // commands
	lookUp    *upstream // the same service, for reads
	history   *upstream
	integrity integrity
}

func (s *shop) handleCheckout(w http.ResponseWriter, r *http.Request) error {
	c, err := decodeCheckout(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	customer, err := act(r, c.Customer)
	if err != nil {
		return err
	}
	key := r.Header.Get(service.IdempotencyHeader)
	if key == "" {
		key = service.OperationFrom(r.Context()).ID
	}
	if !service.ValidID(key) {
		return service.BadRequest("Idempotency-Key: want letters, digits and ._:-")
	}
	reply, err := s.orders.do(r.Context(), http.MethodPost, "/orders", key, order{ID: key, Items: c.Items, Customer: customer})
	if err != nil {
		return failure(w, "orders", err)
	}
	return s.integrity.pass(w, "orders", reply)
}

func (s *shop) handleOrder(w http.ResponseWriter, r *http.Request) error {
	id, err := orderID(r)
	if err != nil {
		return err
	}
	reply, err := s.lookUp.get(r.Context(), "/orders/"+id)
	if err != nil {
		return failure(w, "orders", err)
	}
	if me := customerOf(r.Context()); me != "" && reply.Status == http.StatusOK {
		var o struct {
			Customer string `json:"customer"`
		}
		if json.Unmarshal(reply.Body, &o) != nil || o.Customer != me {
			return forbidden("the order is another customer's")
		}
	}
	return s.integrity.pass(w, "orders", reply)
}

func (s *shop) handleCancel(w http.ResponseWriter, r *http.Request) error {
	id, err := orderID(r)
	if err != nil {
		return err
	}
	body := map[string]string{"customer": customerOf(r.Context())}
	reply, err := s.orders.do(r.Context(), http.MethodPost, "/orders/"+id+"/cancel", id+".cancel", body)
	if err != nil {
		return failure(w, "orders", err)
	}
	return s.integrity.pass(w, "orders", reply)
}

func orderID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !service.ValidID(id) {
		return "", service.BadRequest("id: want letters, digits and ._:-")
	}
	return id, nil
}

func (s *shop) handleHistory(w http.ResponseWriter, r *http.Request) error {
	customer, err := act(r, r.PathValue("customer"))
	if err != nil {
		return err
	}
	reply, err := s.history.get(r.Context(), "/customers/"+customer+"/orders")
	if err != nil {
		return failure(w, "history", err)
	}
	return s.integrity.pass(w, "history", reply)
}
