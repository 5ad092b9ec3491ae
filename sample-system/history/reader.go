package history

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

// pageSize is how many orders one answer holds, the youngest first.
const pageSize = 100

// reader answers questions from the view.
type reader struct {
	db        *store.DB
	staleness *staleness
}

type orders struct {
	Orders      []order   `json:"orders"`
	AsOf        time.Time `json:"as_of"` // everything before is in the answer
	StalenessMS int64     `json:"staleness_ms"`
}

type order struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"` // placed, confirmed or cancelled
	Amount  int64     `json:"amount_cents"`
	Version int64     `json:"version"`
	At      time.Time `json:"at"`
}

func (d *reader) handle(w http.ResponseWriter, r *http.Request) error {
	customer := r.PathValue("customer")
	if !service.ValidID(customer) {
		return service.BadRequest("customer is not an id")
	}
	asOf := d.staleness.asOf(r.Context()) // before the rows are read: they may only be younger
	rows, err := d.of(r.Context(), customer)
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	return service.WriteJSON(w, http.StatusOK, orders{Orders: rows, AsOf: asOf.UTC(), StalenessMS: max(0, time.Since(asOf).Milliseconds())})
}

func (d *reader) of(ctx context.Context, customer string) ([]order, error) {
	rows, err := d.db.Query(ctx, `SELECT order_id, status, amount_cents, version, at FROM order_view WHERE customer = ? ORDER BY at DESC, order_id LIMIT ?`,
		customer, int64(pageSize))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []order{}
	for rows.Next() {
		var o order
		var at int64
		if err := rows.Scan(&o.ID, &o.Status, &o.Amount, &o.Version, &at); err != nil {
			return nil, err
		}
		o.At = time.Unix(0, at).UTC()
		out = append(out, o)
	}
	return out, rows.Err()
}
