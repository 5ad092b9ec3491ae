package orders

import (
	"errors"
	"net/http"

	"squall/sample-system/internal/service"
)

func (o *orchestrator) handlePlace(w http.ResponseWriter, r *http.Request) error {
	var p Place
	if err := service.ReadJSON(w, r, &p); err != nil {
		return err
	}
	if err := p.validate(r.Header.Get(service.IdempotencyHeader)); err != nil {
		return err
	}
	s, err := o.place(r.Context(), p)
	switch {
	case errors.Is(err, errOverloaded):
		w.Header().Set("Retry-After", "1")
		return err
	case err != nil:
		return err
	case !s.same(p):
		return service.Invalid("the Idempotency-Key was used for another order")
	case s.State == stateConfirmed:
		return service.WriteJSON(w, http.StatusCreated, s.answer())
	default:
		return service.WriteJSON(w, s.Code, s.answer())
	}
}

func (o *orchestrator) handleGet(w http.ResponseWriter, r *http.Request) error {
	s, found, err := o.log.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if !found {
		return errUnknown
	}
	return service.WriteJSON(w, http.StatusOK, s.status())
}

// The books: what became of each order, and each event of it.
const (
	ordersBook = `SELECT id, id, 0, CASE WHEN state IN ('confirmed', 'cancelled') THEN state ELSE 'pending' END, at,
		state AS step, reason, amount, lines, customer FROM orders ORDER BY at`
	eventsBook = `SELECT order_id, order_id || '.' || CAST(seq AS TEXT), 0, type, at, seq, type FROM events ORDER BY at, order_id, seq`
)
