// Saga.
//
// Answers: an order that touches several services, of which a later one may
// fail after an earlier one has taken effect. There is no transaction across
// them; instead each step has a compensation, and each step's event is written
// before the next one is begun, so that what may have happened is always known.
// Numbers: see budget.go.
// Costs: four small transactions per order, and stock that is held for a moment
// for orders that fail.
// Breaks without it: scenarios compensation and orchestrator-killed.
// Off switch: D19, see compensation.go.

package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// errOverloaded: there is too much to undo already.
var errOverloaded = fmt.Errorf("place: %w", service.Problem{
	Status: http.StatusServiceUnavailable, Title: "too many orders to undo", Detail: "the order was not placed",
}.NotExecuted())

type orchestrator struct {
	log         *log
	steps       *steps
	pricing     *pricing
	compensator *compensator
	done        *prometheus.CounterVec
}

func newOrchestrator(h *service.Host, l *log, s *steps, p *pricing) *orchestrator {
	done := h.Counter("saga_total", "Sagas decided, by outcome.", "state")
	return &orchestrator{log: l, steps: s, pricing: p, compensator: newCompensator(h, l, s, done), done: done}
}

// place runs the saga of an order, once: the same id again, on any instance,
// waits for the run under way, or gets the result of the one before.
func (o *orchestrator) place(ctx context.Context, p Place) (order, error) {
	if _, found, err := o.log.find(ctx, p.ID); err != nil {
		return order{}, err
	} else if found {
		return o.log.await(ctx, p.ID)
	}
	if o.compensator.full() {
		return order{}, errOverloaded
	}
	timed, cancel := o.steps.budget.saga(ctx)
	defer cancel()
	lines, amount, err := o.pricing.price(timed, p)
	if err != nil {
		return order{}, err
	}
	placed, err := o.log.append(timed, order{ID: p.ID}, change{kindPlaced, factData{
		Customer: p.Customer, Items: p.Items, Lines: lines, Amount: amount, Trace: tracing.Traceparent(ctx),
	}})
	if errors.Is(err, errConflict) {
		return o.log.await(ctx, p.ID)
	}
	if err != nil {
		return order{}, err
	}
	return o.run(ctx, timed, placed)
}

// run makes the forward steps within timed, or has them undone. An error means
// that not even the decision could be written: whoever takes the order over
// decides then.
func (o *orchestrator) run(ctx, timed context.Context, s order) (order, error) {
	ctx = context.WithoutCancel(ctx)
	s, failed := o.forward(ctx, timed, s)
	if failed == nil {
		o.done.WithLabelValues(string(stateConfirmed)).Inc()
		return s, nil
	}
	if !errors.Is(failed, errConflict) {
		var err error
		if s, err = o.compensator.fail(ctx, s, failed); err == nil || !errors.Is(err, errConflict) {
			return s, err
		}
	}
	return o.log.await(ctx, s.ID) // another instance has taken it over
}

// forward returns how far it came.
func (o *orchestrator) forward(ctx, timed context.Context, s order) (order, error) {
	for _, step := range []struct {
		do   func(context.Context, order) error
		then kind
	}{
		{o.steps.reserve, kindReserved},
		{o.steps.charge, kindCharged},
		{o.steps.commit, kindConfirmed},
	} {
		if err := step.do(timed, s); err != nil {
			return s, err
		}
		next, err := o.log.insist(ctx, s, change{kind: step.then})
		if err != nil {
			return s, err
		}
		s = next
	}
	return s, nil
}

// answer is what the client is told about a step that failed: a refusal as it
// is, anything else as "try later".
func answer(err error) (code int, reason string) {
	var status *call.StatusError
	if refused(err) && errors.As(err, &status) {
		switch status.Status {
		case http.StatusConflict, http.StatusPaymentRequired, http.StatusUnprocessableEntity:
			return status.Status, short(status.Detail)
		}
	}
	return http.StatusServiceUnavailable, short(err.Error())
}

// short is a reason as it may be stored and published: a callee may say
// anything, and PostgreSQL refuses a zero byte.
func short(reason string) string {
	var b strings.Builder
	for _, r := range reason {
		if b.Len() >= maxReason {
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
