// Durable compensation.
//
// Answers: a step that failed after earlier ones took effect, a dependency
// that is down while they are undone, and an orchestrator that is killed in
// the middle of it. That an order is undone is written before it is begun, and
// any instance goes on with it until it has succeeded: the table of orders is
// the queue, the lease on an order says who is at it.
// Numbers: 16 at once; after a round in which nothing succeeded only one order
// is tried, after a pause that doubles from 100 ms to 2 s: hundreds of orders
// waiting for a dependency must not keep it down. With 10,000 not final no new
// order is taken. A look every second finds what another instance has left.
// Costs: an order may be answered as cancelled a moment before it is undone.
// Breaks without it: scenario orchestrator-killed. Off switch: D19, kept in
// memory only.

package orders

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

const (
	compensateAtOnce   = 16
	compensateInterval = time.Second // a wake-up is immediate
	maxBacklog         = 10_000
)

var errInterrupted = errors.New("the instance that worked on the order was interrupted")

type compensator struct {
	log     *log
	steps   *steps
	logger  *slog.Logger
	done    *prometheus.CounterVec
	pause   backoff.Backoff
	wake    chan struct{}
	backlog atomic.Int64 // orders that are not final; 0 when none waits

	durable bool // false under D19
	mu      sync.Mutex
	memory  []*undoing // the queue under D19
}

// undoing is an order that is being undone, and what of that is not written
// yet (only under D19).
type undoing struct {
	order
	saved order
	kept  []change
}

func newCompensator(h *service.Host, l *log, s *steps, done *prometheus.CounterVec) *compensator {
	return &compensator{
		log: l, steps: s, logger: h.Logger, done: done,
		pause:   backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second},
		wake:    make(chan struct{}, 1),
		durable: !h.Defects.Has(defect.CompensationInRAM),
	}
}

// full reports whether no more sagas should be begun.
func (c *compensator) full() bool { return c.backlog.Load() >= maxBacklog }

// fail decides that an order is undone, from the step that failed backwards.
func (c *compensator) fail(ctx context.Context, o order, failed error) (order, error) {
	code, reason := answer(failed)
	next, err := c.decide(ctx, o, change{kindFailed, factData{Undo: undo(o.State, failed), Code: code, Reason: reason}})
	if err == nil {
		c.done.WithLabelValues(string(stateCancelled)).Inc()
	}
	return next, err
}

// decide writes that an order is undone. When it returns, that is durable.
func (c *compensator) decide(ctx context.Context, o order, why change) (order, error) {
	u := &undoing{order: o, saved: o}
	if err := c.record(ctx, u, why); err != nil {
		return o, err
	}
	if !u.State.final() {
		c.remember(u)
		backoff.Signal(c.wake)
	}
	return u.order, nil
}

// record writes a change, or under D19 keeps it until the order is final.
func (c *compensator) record(ctx context.Context, u *undoing, ch change) error {
	if !c.durable {
		next, _, err := extend(u.order, []change{ch})
		if err != nil {
			return err
		}
		u.kept = append(u.kept, ch)
		if u.order = next; !next.State.final() {
			return nil
		}
	} else {
		u.kept = []change{ch}
	}
	next, err := c.log.insist(ctx, u.saved, u.kept...)
	if err != nil {
		return err
	}
	u.order, u.saved, u.kept = next, next, nil
	return nil
}

func (c *compensator) run(ctx context.Context) error {
	failures := 0 // rounds in a row without a success
	for ctx.Err() == nil {
		batch, err := c.take(ctx, limit(failures))
		switch {
		case err == nil && len(batch) == 0:
			failures = 0
			c.backlog.Store(0)                                // what is not final is under way
			_ = backoff.Wait(ctx, compensateInterval, c.wake) // its only error ends the loop
		case err == nil && c.round(ctx, batch):
			failures = 0
			c.count(ctx)
		default:
			failures++
			if err != nil && ctx.Err() == nil {
				c.logger.Warn("no order taken to undo", "error", err)
			}
			_ = backoff.Wait(ctx, c.pause.Delay(failures), nil)
			c.count(ctx)
		}
	}
	return nil
}

// limit is how many orders are tried at once after failures.
func limit(failures int) int {
	if failures > 0 {
		return 1
	}
	return compensateAtOnce
}

// count keeps the backlog's size for full.
func (c *compensator) count(ctx context.Context) {
	var n int64
	if err := c.log.db.QueryRow(ctx, countPending).Scan(&n); err == nil {
		c.backlog.Store(n)
	}
}

// round undoes a batch in parallel and reports whether any order got further.
func (c *compensator) round(ctx context.Context, batch []*undoing) bool {
	progress := make([]bool, len(batch))
	var wg sync.WaitGroup
	for i, u := range batch {
		wg.Go(func() { progress[i] = c.compensate(ctx, u) })
	}
	wg.Wait()
	return slices.Contains(progress, true)
}

// compensate makes the next compensations of an order and reports whether one
// succeeded. An order that is not final afterwards is queued again.
func (c *compensator) compensate(ctx context.Context, u *undoing) (progress bool) {
	ctx = service.WithOperation(tracing.WithTraceparent(ctx, u.Trace), service.Operation{ID: u.ID})
	if !u.State.decided() { // its owner is gone
		_, err := c.fail(ctx, u.order, errInterrupted)
		return err == nil
	}
	for !u.State.final() {
		err := c.next(ctx, u)
		if errors.Is(err, errConflict) {
			return progress // another instance is at it
		}
		if err != nil {
			c.logger.Warn("compensation failed, will be repeated", "op", u.ID, "state", u.State, "error", err)
			c.putBack(context.WithoutCancel(ctx), u)
			return progress
		}
		progress = true
	}
	return progress
}

func (c *compensator) next(ctx context.Context, u *undoing) error {
	step, then := c.steps.refund, kindRefunded
	if u.State == stateReleasing {
		step, then = c.steps.release, kindReleased
	}
	if err := step(ctx, u.order); err != nil {
		return err
	}
	return c.record(context.WithoutCancel(ctx), u, change{kind: then})
}

// take takes orders to undo.
func (c *compensator) take(ctx context.Context, n int) (batch []*undoing, err error) {
	if !c.durable {
		return c.recall(n), nil
	}
	orders, err := c.log.claim(ctx, n)
	for _, o := range orders {
		batch = append(batch, &undoing{order: o, saved: o})
	}
	if len(batch) > 0 {
		err = nil // those are ours, the others can wait
	}
	return batch, err
}

// putBack queues an order again, behind all others.
func (c *compensator) putBack(ctx context.Context, u *undoing) {
	if err := c.log.release(ctx, u.order); c.durable && err != nil {
		c.logger.Warn("order is undone when its lease ends", "op", u.ID, "error", err)
	}
	c.remember(u)
}

// remember queues an order under D19.
func (c *compensator) remember(u *undoing) {
	if c.durable {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory = append(c.memory, &undoing{u.order, u.saved, u.kept})
}

func (c *compensator) recall(n int) []*undoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.memory))
	batch := slices.Clone(c.memory[:n])
	c.memory = slices.Delete(c.memory, 0, n)
	return batch
}
