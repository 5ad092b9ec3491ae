// Ownership of running sagas.
//
// Answers: an instance that dies, or is paused, in the middle of its sagas. An
// order that is not final belongs to one instance until its lease runs out;
// then any instance may take it over. The lease only keeps two instances from
// doing the same work; that they do no harm is the work of the store, whose
// next number only one of them gets, and of the callees, which know the order.
// Numbers: 5 s, longer than the 3 s of a saga with the writes behind it, and than
// the two calls of one turn of undoing, so that it is never renewed; so an order
// is taken over within 6 s. An instance that comes back takes its own orders up at once.
// Clocks that differ make that sooner or later, not wrong.
// Costs: one update per turn of undoing.
// Breaks without it: TestPausedProcess, TestKilled. No off switch.

package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const leaseTime = 5 * time.Second

// claim takes up to n orders that are not final and belong to nobody, those
// that have waited longest first.
func (l *log) claim(ctx context.Context, n int) ([]order, error) {
	found, err := l.unowned(ctx, n)
	if err != nil {
		return nil, err
	}
	var taken []order
	for _, c := range found {
		n, err := l.db.Exec(ctx, `UPDATE orders SET owner = ?, lease = ? WHERE id = ? AND seq = ? AND owner = ? AND lease = ?`,
			l.owner, time.Now().Add(leaseTime).UnixNano(), c.ID, c.Seq, c.owner, c.lease)
		if err != nil {
			return taken, fmt.Errorf("claim order %s: %w", c.ID, err)
		}
		if n == 0 {
			continue // the other instance was faster
		}
		if c.owner != "" {
			l.takeovers.Inc()
		}
		taken = append(taken, c.order)
	}
	return taken, nil
}

type claimable struct {
	order
	owner string
	lease int64
}

func (l *log) unowned(ctx context.Context, n int) ([]claimable, error) {
	rows, err := l.db.Query(ctx, `SELECT `+columns+`, owner, lease FROM orders
		WHERE state NOT IN ('confirmed', 'cancelled') AND lease < ? ORDER BY lease LIMIT ?`, time.Now().UnixNano(), n)
	if err != nil {
		return nil, fmt.Errorf("look for orders to undo: %w", err)
	}
	defer rows.Close()
	var found []claimable
	for rows.Next() {
		var c claimable
		if c.order, err = scanOrder(rows, &c.owner, &c.lease); err != nil {
			return nil, fmt.Errorf("look for orders to undo: %w", err)
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// release gives an order back, behind all others that wait.
func (l *log) release(ctx context.Context, o order) error {
	_, err := l.db.Exec(ctx, `UPDATE orders SET owner = '', lease = ? WHERE id = ? AND owner = ? AND seq = ?`,
		time.Now().UnixNano(), o.ID, l.owner, o.Seq)
	if err != nil {
		return fmt.Errorf("give order %s back: %w", o.ID, err)
	}
	return nil
}

// reclaim ends the leases that this instance held in its last life. It must be
// called before the first order of this one.
func (l *log) reclaim(ctx context.Context) error {
	_, err := l.db.Exec(store.Begun(ctx), `UPDATE orders SET lease = 0 WHERE owner = ? AND state NOT IN ('confirmed', 'cancelled')`, l.owner)
	if err != nil {
		return fmt.Errorf("reclaim orders: %w", err)
	}
	return nil
}

var errPending = fmt.Errorf("await: %w", service.Problem{
	Status: http.StatusGatewayTimeout, Title: "the order is still being worked on", Detail: "GET /orders/{id} tells what becomes of it",
})

// Whoever sends an order again while it is running, on whichever instance, gets
// the result of that run. 7 s is longer than a saga and its takeover; looking
// every 50 ms is cheap, since it hardly ever happens.
const (
	awaitTime     = leaseTime + 2*time.Second
	awaitInterval = 50 * time.Millisecond
)

// await is the order once it is decided.
func (l *log) await(ctx context.Context, id string) (order, error) {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for {
		o, found, err := l.find(ctx, id)
		if ctx.Err() != nil {
			return order{}, errPending
		}
		switch {
		case err == nil && !found:
			return order{}, errors.New("await: no such order")
		case err == nil && o.State.decided():
			return o, nil
		case err != nil && !notDone(err):
			return order{}, err
		}
		if backoff.Wait(ctx, awaitInterval, nil) != nil {
			return order{}, errPending
		}
	}
}
