// Rebuild.
//
// Answers: a view that is wrong, because the projection was, or lost. The events
// are the truth, so the view can be projected anew from the stream: into tables
// of its own while the old view goes on answering, which then takes its place in
// one transaction. What comes in the meantime is caught up with at the end.
// Numbers: 64 events per transaction, as live; only the last of these and the swap keep
// the projector waiting.
// Costs: the database holds the view twice meanwhile. The stream keeps 256 MB of
// events (some 400 000): orders older than that would be missing.
// Breaks without it: TestRebuild. No off switch.

package history

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const rebuildBatch = 64

type rebuilder struct {
	p    *projector
	bus  *bus.Bus
	busy sync.Mutex
}

// rebuilt is what a rebuild found.
type rebuilt struct {
	Events      int     `json:"events"`
	Skipped     int     `json:"skipped"` // cannot be read, they are among the dead letters
	Orders      int     `json:"orders"`
	Differences int     `json:"differences"` // orders that the old view showed otherwise
	Seconds     float64 `json:"seconds"`
}

func (r *rebuilder) handle(w http.ResponseWriter, req *http.Request) error {
	if !r.busy.TryLock() {
		return service.Problem{Status: http.StatusConflict, Title: "a rebuild is already going on"}.NotExecuted()
	}
	defer r.busy.Unlock()
	report, err := r.run(req.Context())
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	return service.WriteJSON(w, http.StatusOK, report)
}

func (r *rebuilder) run(ctx context.Context) (report rebuilt, err error) {
	began := time.Now()
	if err := r.clear(ctx); err != nil {
		return report, err
	}
	done, err := r.project(ctx, 0, &report)
	if err != nil {
		return report, err
	}
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if _, err := r.project(ctx, done, &report); err != nil { // what came meanwhile
		return report, err
	}
	if err := r.swap(ctx, &report); err != nil {
		return report, err
	}
	report.Seconds = time.Since(began).Seconds()
	return report, nil
}

func (r *rebuilder) clear(ctx context.Context) error {
	for _, table := range []string{"order_view", "applied"} {
		if _, err := r.p.db.Exec(ctx, `DELETE FROM `+table+shadow); err != nil {
			return fmt.Errorf("clear %s: %w", table+shadow, err)
		}
	}
	return nil
}

// project applies the stream from behind one position to its end now, and
// returns how far it came.
func (r *rebuilder) project(ctx context.Context, after uint64, report *rebuilt) (uint64, error) {
	batch := make([]item, 0, rebuildBatch)
	flush := func() error {
		_, err := r.p.apply(ctx, shadow, batch)
		batch = batch[:0]
		return err
	}
	last, err := r.bus.Scan(ctx, after, func(m bus.Message) error {
		report.Events++
		i, err := r.p.decode(m)
		if err != nil {
			report.Skipped++
			return nil
		}
		if batch = append(batch, i); len(batch) < rebuildBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return last, err
	}
	return last, flush()
}

// swap puts the new view in the place of the old one, and compares the two.
// Orders of which one knows a later event than the other are not compared.
func (r *rebuilder) swap(ctx context.Context, report *rebuilt) error {
	return r.p.db.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM order_view`+shadow).Scan(&report.Orders); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM order_view v LEFT JOIN order_view`+shadow+` n ON n.order_id = v.order_id
			WHERE n.order_id IS NULL OR n.stream_seq = v.stream_seq AND
			(n.customer <> v.customer OR n.status <> v.status OR n.amount_cents <> v.amount_cents OR n.version <> v.version)`).Scan(&report.Differences); err != nil {
			return err
		}
		for _, table := range []string{"order_view", "applied"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO `+table+` SELECT * FROM `+table+shadow); err != nil {
				return err
			}
		}
		return nil
	})
}
