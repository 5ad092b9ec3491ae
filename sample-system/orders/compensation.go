// Durable compensation.
//
// Answers: a step that failed after earlier ones took effect, a dependency
// that is down while they are undone, and an orchestrator that is killed in
// the middle of it. What is to be undone is written before it is begun and
// goes on, also after a restart, until it has succeeded. A step whose reply
// was lost may have been executed, so it is undone too; the callee ignores the
// undoing of what never happened, and refuses it if it comes later.
// Numbers: 16 at once; after a round in which nothing succeeded only one saga
// is tried, after a pause that doubles from 100 ms to 2 s: hundreds of orders
// waiting for a dependency must not keep it down. With 10,000 waiting no new
// order is taken.
// Costs: an order may be answered as cancelled a moment before it is undone.
// Breaks without it: scenario orchestrator-killed. Off switch: D19, kept in
// memory only.

package orders

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	compensateAtOnce = 16
	maxBacklog       = 10_000
)

type compensator struct {
	log     *log
	steps   *steps
	logger  *slog.Logger
	durable bool // false under D19
	pause   backoff.Backoff
	wake    chan struct{}

	mu      sync.Mutex
	backlog []*saga // first in, first tried; what fails goes to the end
}

func newCompensator(h *service.Host, l *log, s *steps) *compensator {
	return &compensator{
		log: l, steps: s, logger: h.Logger,
		durable: !h.Defects.Has(defect.CompensationInRAM),
		pause:   backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second},
		wake:    make(chan struct{}, 1),
	}
}

// full reports whether no more sagas should be begun.
func (c *compensator) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.backlog) >= maxBacklog
}

// begin decides that a saga is undone, from the step that failed backwards.
// When it returns, the decision is durable.
func (c *compensator) begin(ctx context.Context, s *saga, failed error) error {
	s.state = undo(s.state, failed)
	if c.durable {
		if err := c.log.save(ctx, s); err != nil {
			return err
		}
	}
	if s.final() {
		return nil
	}
	c.add(s)
	backoff.Signal(c.wake)
	return nil
}

// undo is the first compensation after a failure in a step. A step that was
// refused had no effect; one that failed otherwise may have had.
func undo(s state, failed error) state {
	var status *call.StatusError
	refused := errors.As(failed, &status) && !call.Unavailable(failed)
	switch {
	case s == stateReserving && refused:
		return stateCancelled
	case s == stateReserving, s == stateCharging && refused, s == stateReleasing:
		return stateReleasing
	default:
		return stateRefunding
	}
}

// resume takes up what the last run of the service left: sagas half undone,
// and sagas half done, whose client has gone without an answer.
func (c *compensator) resume(ctx context.Context) error {
	if !c.durable {
		return nil
	}
	left, err := c.log.pending(ctx)
	if err != nil {
		return fmt.Errorf("resume sagas: %w", err)
	}
	for _, s := range left {
		if s.code == 0 {
			s.code, s.reason = http.StatusServiceUnavailable, "interrupted by a restart"
		}
		if err := c.begin(ctx, s, errInterrupted); err != nil {
			return fmt.Errorf("resume sagas: %w", err)
		}
	}
	return nil
}

var errInterrupted = errors.New("interrupted")

func (c *compensator) run(ctx context.Context) error {
	failures := 0 // rounds in a row without a success
	for {
		batch := c.take(compensateAtOnce)
		if failures > 0 && len(batch) > 1 {
			c.add(batch[1:]...)
			batch = batch[:1]
		}
		if len(batch) == 0 {
			if backoff.Wait(ctx, time.Minute, c.wake) != nil {
				return nil
			}
			continue
		}
		if c.round(ctx, batch) {
			failures = 0
			continue
		}
		failures++
		if backoff.Wait(ctx, c.pause.Delay(failures), nil) != nil {
			return nil
		}
	}
}

// round undoes a batch in parallel and reports whether any saga got further.
func (c *compensator) round(ctx context.Context, batch []*saga) bool {
	progress := make([]bool, len(batch))
	var wg sync.WaitGroup
	for i, s := range batch {
		wg.Go(func() { progress[i] = c.compensate(ctx, s) })
	}
	wg.Wait()
	for _, p := range progress {
		if p {
			return true
		}
	}
	return false
}

// compensate makes the next compensations of a saga and reports whether one
// succeeded. A saga that is not final afterwards is queued again.
func (c *compensator) compensate(ctx context.Context, s *saga) (progress bool) {
	ctx = service.WithOperation(ctx, service.Operation{ID: s.order.ID, Traceparent: s.trace})
	for !s.final() {
		err := c.next(ctx, s)
		if err != nil {
			c.logger.Warn("compensation failed, will be repeated", "op", s.order.ID, "state", s.state, "error", err)
			c.add(s)
			return progress
		}
		progress = true
	}
	return progress
}

func (c *compensator) next(ctx context.Context, s *saga) error {
	step, then := c.steps.refund, stateReleasing
	if s.state == stateReleasing {
		step, then = c.steps.release, stateCancelled
	}
	if err := step(ctx, s.order); err != nil {
		return err
	}
	moved := *s
	moved.state = then
	if c.durable || moved.final() {
		if err := c.log.save(ctx, &moved); err != nil {
			return err
		}
	}
	s.state = then
	return nil
}

func (c *compensator) add(sagas ...*saga) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sagas {
		own := *s // the handler still reads the other
		c.backlog = append(c.backlog, &own)
	}
}

func (c *compensator) take(n int) []*saga {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.backlog))
	batch := append([]*saga(nil), c.backlog[:n]...)
	c.backlog = append(c.backlog[:0], c.backlog[n:]...)
	return batch
}
