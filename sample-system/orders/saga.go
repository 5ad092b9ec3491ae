// Saga.
//
// Answers: an order that touches several services, of which a later one may
// fail after an earlier one has taken effect. There is no transaction across
// them; instead each step has a compensation, and the state is written before
// each step, so that what may have happened is always known.
// Numbers: 3 s for all forward steps together; a client waits 5 s at the
// gateway and must have its answer before.
// Costs: four small writes per order, and stock that is held for a moment for
// orders that fail.
// Breaks without it: scenarios compensation and orchestrator-killed.
// Off switch: D19, see compensation.go.

package orders

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
)

const forwardDeadline = 3 * time.Second

// errOverloaded: there is too much to undo already.
var errOverloaded = errors.New("too many sagas are being compensated")

type orchestrator struct {
	log         *log
	steps       *steps
	compensator *compensator
	relay       func() // an event is due
	done        *prometheus.CounterVec
	running     singleflight.Group
}

func newSagaCounter(h *service.Host) *prometheus.CounterVec {
	return h.Counter("saga_total", "Sagas decided, by outcome.", "state")
}

// place runs the saga of an order, once: the same id again waits for the run
// under way, or gets the result of the one before.
func (o *orchestrator) place(ctx context.Context, order Order) (*saga, error) {
	trace := service.OperationFrom(ctx).Traceparent
	ctx = context.WithoutCancel(ctx) // a client that hangs up does not leave half an order
	v, err, _ := o.running.Do(order.ID, func() (any, error) {
		s, found, err := o.log.find(ctx, order.ID)
		if err != nil || found {
			return s, err
		}
		if o.compensator.full() {
			return nil, errOverloaded
		}
		s = &saga{order: order, trace: trace, state: stateReserving}
		if err := o.log.begin(ctx, s); err != nil {
			return nil, err
		}
		return s, o.run(ctx, s)
	})
	if err != nil {
		return nil, err
	}
	return v.(*saga), nil
}

// run makes the forward steps. An error means that not even the decision could
// be written; the next start of the service compensates then.
func (o *orchestrator) run(ctx context.Context, s *saga) error {
	if failed := o.forward(ctx, s); failed != nil {
		s.code, s.reason = answer(failed)
		o.done.WithLabelValues(string(stateCancelled)).Inc()
		return o.compensator.begin(ctx, s, failed)
	}
	if err := o.log.confirm(ctx, s); err != nil {
		return err
	}
	o.done.WithLabelValues(string(stateConfirmed)).Inc()
	o.relay()
	return nil
}

func (o *orchestrator) forward(ctx context.Context, s *saga) error {
	timed, cancel := context.WithTimeout(ctx, forwardDeadline)
	defer cancel()
	for _, step := range []struct {
		state state
		do    func(context.Context, Order) error
	}{
		{stateReserving, o.steps.reserve},
		{stateCharging, o.steps.charge},
		{stateCommitting, o.steps.commit},
	} {
		if s.state != step.state { // the first was written by begin
			s.state = step.state
			if err := o.log.save(ctx, s); err != nil {
				return err
			}
		}
		if err := step.do(timed, s.order); err != nil {
			return err
		}
	}
	return nil
}

// answer is what the client is told about a step that failed: a refusal as it
// is, anything else as "try later".
func answer(err error) (code int, reason string) {
	var status *call.StatusError
	if errors.As(err, &status) && !call.Unavailable(err) {
		switch status.Status {
		case http.StatusConflict, http.StatusPaymentRequired, http.StatusUnprocessableEntity:
			return status.Status, status.Detail
		}
	}
	return http.StatusServiceUnavailable, err.Error()
}
