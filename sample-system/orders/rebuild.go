// Rebuild.
//
// Answers: a table of orders that no longer says what happened: after a
// mistake in the program, a hand in the database, a restored backup. The
// events are the truth; the table is folded from them anew, while the service
// runs, and the answer says how many rows were wrong.
// Numbers: 200 orders per transaction, some 10 ms in which nobody else writes.
// Costs: a read of all events.
// Breaks without it: TestRebuild. No off switch.

package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const rebuildBatch = 200

// Rebuilt is the answer to POST /rebuild.
type Rebuilt struct {
	Orders   int `json:"orders"`
	Differed int `json:"differed"` // rows that were not the fold of their events
}

func (l *log) handleRebuild(w http.ResponseWriter, r *http.Request) error {
	done, err := l.rebuild(r.Context())
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, done)
}

// rebuild makes the table of orders the fold of their events.
func (l *log) rebuild(ctx context.Context) (total Rebuilt, err error) {
	after := ""
	for {
		var batch Rebuilt
		last := ""
		err := l.db.Tx(ctx, func(tx *store.Tx) error {
			batch, last = Rebuilt{}, ""
			return l.rebuildBatch(ctx, tx, after, &batch, &last)
		})
		if err != nil {
			return total, fmt.Errorf("rebuild orders after %q: %w", after, err)
		}
		total.Orders += batch.Orders
		total.Differed += batch.Differed
		if batch.Orders < rebuildBatch {
			return total, nil
		}
		after = last
	}
}

func (l *log) rebuildBatch(ctx context.Context, tx *store.Tx, after string, done *Rebuilt, last *string) error {
	histories, err := readHistories(ctx, tx, after)
	if err != nil {
		return err
	}
	for _, h := range histories {
		*last = h.id
		done.Orders++
		want, err := fold(h.id, h.facts)
		if err != nil {
			return err
		}
		have, err := scanOrder(tx.QueryRow(ctx, `SELECT `+columns+` FROM orders WHERE id = ?`, h.id))
		if err == nil && reflect.DeepEqual(have, want) {
			continue
		}
		done.Differed++ // also a row that is missing or cannot be read
		if err := replace(ctx, tx, want); err != nil {
			return err
		}
	}
	return nil
}

// replace writes an order anew. It belongs to nobody then, so that one that is
// not final is undone; a saga that runs at this moment fails on its next event.
func replace(ctx context.Context, tx *store.Tx, o order) error {
	_, err := tx.Exec(ctx, `DELETE FROM orders WHERE id = ?`, o.ID)
	_, err2 := insertOrder(ctx, tx, o, "", time.Unix(0, 0))
	return errors.Join(err, err2)
}

type history struct {
	id    string
	facts []fact
}

// readHistories reads the events of the next orders, by id.
func readHistories(ctx context.Context, tx *store.Tx, after string) ([]history, error) {
	rows, err := tx.Query(ctx, `SELECT order_id, seq, type, data, at FROM events WHERE order_id IN
		(SELECT DISTINCT order_id FROM events WHERE order_id > ? ORDER BY order_id LIMIT ?) ORDER BY order_id, seq`, after, rebuildBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []history
	for rows.Next() {
		var id, data string
		var f fact
		if err := rows.Scan(&id, &f.Seq, &f.Kind, &data, &f.At); err != nil {
			return nil, err
		}
		if f.Data, err = decodeData(data); err != nil {
			return nil, fmt.Errorf("order %s: %w", id, err)
		}
		if len(all) == 0 || all[len(all)-1].id != id {
			all = append(all, history{id: id})
		}
		h := &all[len(all)-1]
		h.facts = append(h.facts, f)
	}
	return all, rows.Err()
}
