// Outbox relay.
//
// Answers: events that overtake each other. One instance relays, the elected
// one, oldest first, and of one order never more than one event is under way:
// the next goes out when the stream has confirmed the one before. So neither a
// kill in the middle of a batch nor a lost confirmation changes the order of an
// order's events; those that are published again the stream knows by their id,
// within its window of 2 minutes, and consumers by key and number.
// Numbers: up to 512 events a round, all on their way at once: as most orders have
// two events there, that is two exchanges with the bus, and 1000 events a second
// with a bus that is 200 ms away. Another instance's events are found by a look every
// 100 ms, or every 500 ms when there was none for 2 s. The pause after a failure
// grows from 100 ms to 1 s.
// Costs: one exchange per event of the same order; two to ten small reads a second.
// Breaks without it: scenario slow-bus, TestRelayOrder, TestRelayInterrupted. Off switch: D34, newest first and
// all at once.

package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const (
	relayName     = "orders-relay"
	relayBatch    = 512
	relayForgets  = 64                     // rows by one statement
	relayInterval = 100 * time.Millisecond // a wake-up is immediate
	relayIdle     = 500 * time.Millisecond
	relayBusy     = 20 // looks without an event until the relay is idle
)

var errNotLeader = errors.New("another instance relays now")

type relay struct {
	h        *service.Host
	db       *store.DB
	bus      *bus.Bus
	leads    func() (term int64, leading bool)
	wake     <-chan struct{}
	pause    backoff.Backoff
	careless bool // D34
}

func newRelay(h *service.Host, db *store.DB, x *outbox, b *bus.Bus, leads func() (int64, bool)) *relay {
	r := &relay{
		h: h, db: db, bus: b, leads: leads, wake: x.wake,
		pause:    backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second},
		careless: h.Defects.Has(defect.RelayOutOfOrder),
	}
	x.publish = r.post
	h.GaugeFunc("outbox_pending", "Events not yet on the bus.", nil, db.Count(`SELECT count(*) FROM outbox`))
	return r
}

func (r *relay) run(ctx context.Context) error {
	if r.bus.Ensure(ctx) != nil {
		return nil // ended before the bus came up
	}
	failures, idle := 0, 0 // in a row
	for ctx.Err() == nil {
		n, err := r.look(ctx)
		wait, wake := relayInterval, r.wake
		switch {
		case err != nil:
			failures++
			r.h.Logger.Warn("relay failed, will be repeated", "error", err)
			wait, wake = r.pause.Delay(failures), nil
		case n > 0:
			failures, idle = 0, 0
			if n == relayBatch {
				wait = 0 // there is more
			}
		default:
			failures = 0
			if idle++; idle > relayBusy {
				wait = relayIdle
			}
		}
		_ = backoff.Wait(ctx, wait, wake) // its only error ends the loop
	}
	return nil
}

// look relays if this instance leads.
func (r *relay) look(ctx context.Context) (int, error) {
	term, leading := r.leads()
	if !leading {
		return 0, nil
	}
	return r.round(ctx, term)
}

// round publishes the oldest events and forgets those that the stream has
// confirmed. It returns how many these were.
func (r *relay) round(ctx context.Context, term int64) (int, error) {
	batch, err := r.oldest(ctx)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	var sent []int64
	var failed error
	for _, wave := range r.waves(batch) {
		if now, leading := r.leads(); !leading || now != term {
			failed = errNotLeader
			break
		}
		var ids []int64
		ids, failed = r.publishAll(ctx, wave)
		sent = append(sent, ids...)
		if failed != nil {
			break
		}
	}
	return len(sent), errors.Join(failed, r.forget(ctx, term, sent))
}

// waves splits a batch so that no wave has two events of one order.
func (r *relay) waves(batch []message) [][]message {
	if r.careless {
		return [][]message{batch}
	}
	var waves [][]message
	next := map[string]int{} // wave of an order's next event
	for _, m := range batch {
		n := next[m.order]
		if n == len(waves) {
			waves = append(waves, nil)
		}
		waves[n] = append(waves[n], m)
		next[m.order] = n + 1
	}
	return waves
}

// forget deletes rows by their ids: in between there may be one that was
// committed after its successor and has not been published.
func (r *relay) forget(ctx context.Context, term int64, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	err := r.db.Tx(ctx, func(tx *store.Tx) error {
		if err := leader.Fence(ctx, tx, relayName, term); err != nil {
			return err
		}
		for some := range slices.Chunk(ids, relayForgets) {
			if _, err := tx.Exec(ctx, forgetRows, filled(some)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget published events: %w", err)
	}
	return nil
}

// forgetRows is one statement for any number of rows, so that it is parsed once.
var forgetRows = `DELETE FROM outbox WHERE id IN (?` + strings.Repeat(`,?`, relayForgets-1) + `)`

// filled repeats the last id until there are enough for forgetRows.
func filled(ids []int64) []any {
	args := make([]any, relayForgets)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return args
}

func (r *relay) oldest(ctx context.Context) ([]message, error) {
	first := `ASC`
	if r.careless {
		first = `DESC`
	}
	rows, err := r.db.Query(ctx, `SELECT id, order_id, subject, msg_id, trace, event FROM outbox ORDER BY id `+first+` LIMIT ?`, relayBatch)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	defer rows.Close()
	var batch []message
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.id, &m.order, &m.subject, &m.msgID, &m.trace, &m.body); err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		batch = append(batch, m)
	}
	return batch, rows.Err()
}
