// Cancelling.
//
// Answers: a customer who does not want the order any more, and asks once,
// twice, or again because the answer was lost. Only a confirmed order can be
// withdrawn; it is then undone like one that failed, durably. The event is
// written under the next number of the order, so that of two cancellations at
// once one is it and the other finds it done.
// Numbers: who was second looks again after 5 ms, and then ever later, up to 200 ms.
// Costs: none beside the undoing.
// Breaks without it: TestCancel. No off switch.

package orders

import (
	"context"
	"errors"
	"net/http"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

// Cancel is the command to cancel an order. With a customer it must be theirs;
// the gateway leaves that out when it does not know who asks.
type Cancel struct {
	Customer string `json:"customer"`
}

const withdrawn = "cancelled by the customer"

var cancelPause = backoff.Backoff{Base: 5 * time.Millisecond, Max: 200 * time.Millisecond}

func (o *orchestrator) handleCancel(w http.ResponseWriter, r *http.Request) error {
	var c Cancel
	if err := service.ReadJSON(w, r, &c); err != nil {
		return err
	}
	s, err := o.cancel(r.Context(), r.PathValue("id"), c.Customer)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, s.answer())
}

// cancel withdraws a confirmed order. One that is cancelled already stays so.
func (o *orchestrator) cancel(ctx context.Context, id, customer string) (order, error) {
	for conflicts := 1; ; conflicts++ {
		s, err := o.withdraw(ctx, id, customer)
		if !errors.Is(err, errConflict) {
			return s, err
		}
		if backoff.Wait(ctx, cancelPause.Delay(conflicts), nil) != nil {
			return order{}, errPending
		}
	}
}

func (o *orchestrator) withdraw(ctx context.Context, id, customer string) (order, error) {
	s, found, err := o.log.find(ctx, id)
	switch {
	case err != nil:
		return order{}, err
	case !found:
		return order{}, errUnknown
	case customer != "" && customer != s.Customer:
		return order{}, service.Problem{Status: http.StatusForbidden, Title: "not your order"}
	case s.State == stateConfirmed:
		return o.compensator.decide(context.WithoutCancel(ctx), s, change{kindWithdrawn, factData{Reason: withdrawn}})
	case s.State.decided():
		return s, nil
	default:
		return order{}, service.Problem{Status: http.StatusConflict, Title: "order is not confirmed yet"}
	}
}

var errUnknown = service.Problem{Status: http.StatusNotFound, Title: "no such order"}
