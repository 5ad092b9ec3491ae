// Versioned, idempotent shipments.
//
// Answers: an event that comes twice, or late because it was among the dead
// letters in between. A shipment remembers the version of the order that it was
// last told of, and what is not newer changes nothing: a cancelled order is not
// sent because its confirmation turns up afterwards.
// Numbers: none; rows are kept for good.
// Costs: a transaction of two rows per event.
// Breaks without it: TestShipments. The
// order of what is not late is the lanes' business, see internal/bus/lanes.go.
// No off switch.

package shipping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS shipments (order_id TEXT PRIMARY KEY, status TEXT NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS shipment_log (
	order_id TEXT NOT NULL, seq BIGINT NOT NULL, effect BIGINT NOT NULL, status TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (order_id, seq));`

const shipmentsQuery = `
SELECT order_id, order_id || '.' || CAST(seq AS TEXT), effect, status, at, CAST(seq AS TEXT) AS seq FROM shipment_log ORDER BY at`

// Status of a shipment.
const (
	statusShipped   = "shipped"
	statusCancelled = "cancelled" // called back, or never sent
)

// desk turns events into shipments.
type desk struct {
	db      *store.DB
	events  *event.Decoder
	results *prometheus.CounterVec
}

func newDesk(h *service.Host, db *store.DB) *desk {
	return &desk{db, event.NewDecoder(h), h.Counter("shipments_total", "Events handled, by what became of the shipment.", "result")}
}

func (d *desk) handle(ctx context.Context, m bus.Message) error {
	e, err := d.events.Decode(m.Data)
	if err != nil {
		return bus.Permanent(err)
	}
	result, err := d.apply(ctx, e)
	if err != nil {
		return fmt.Errorf("ship order %s: %w", e.Key, err)
	}
	d.results.WithLabelValues(result).Inc()
	return nil
}

// apply does what an event asks for, once, unless it is out of date.
func (d *desk) apply(ctx context.Context, e event.Event) (result string, err error) {
	err = d.db.Tx(ctx, func(tx *store.Tx) error {
		var was string
		var seq int64
		err := tx.QueryRow(ctx, `SELECT status, seq FROM shipments WHERE order_id = ?`, e.Key).Scan(&was, &seq)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if e.Seq <= seq {
			result = "outdated"
			return nil
		}
		status, effect := statusShipped, int64(1)
		switch {
		case e.Type == event.OrderCancelled && was == statusShipped:
			status, effect = statusCancelled, -1
		case e.Type == event.OrderCancelled:
			status, effect = statusCancelled, 0
		case was == statusShipped:
			effect = 0
		}
		result = status
		return write(ctx, tx, e, status, effect)
	})
	return result, err
}

func write(ctx context.Context, tx *store.Tx, e event.Event, status string, effect int64) error {
	now := time.Now().UnixNano()
	if _, err := tx.Exec(ctx, `INSERT INTO shipments (order_id, status, seq, at) VALUES (?,?,?,?)
		ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, seq = excluded.seq, at = excluded.at`, e.Key, status, e.Seq, now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO shipment_log (order_id, seq, effect, status, at) VALUES (?,?,?,?,?)`, e.Key, e.Seq, effect, status, now)
	return err
}

// shipment is what a customer may know.
type shipment struct {
	Order  string    `json:"order"`
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

func (d *desk) handleGet(w http.ResponseWriter, r *http.Request) error {
	s := shipment{Order: r.PathValue("order")}
	if !service.ValidID(s.Order) {
		return service.BadRequest("order is not an id")
	}
	var at int64
	err := d.db.QueryRow(r.Context(), `SELECT status, at FROM shipments WHERE order_id = ?`, s.Order).Scan(&s.Status, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return service.Problem{Status: http.StatusNotFound, Title: "no such shipment"}
	}
	if err != nil {
		return fmt.Errorf("look up shipment: %w", err)
	}
	s.At = time.Unix(0, at).UTC()
	return service.WriteJSON(w, http.StatusOK, s)
}
