// Unknown outcomes.
//
// Answers: a step whose answer was lost. It may have been executed, so it is
// undone like one that was; callees ignore the undoing of what never happened,
// and refuse it if it comes later. Only what was refused, or never sent, is
// known to have had no effect. One unknown attempt makes the step unknown,
// whatever the attempts after it said: it may still be on its way.
// Numbers: none.
// Costs: a call to undo what most often did not happen.
// Breaks without it: scenario reserve-unanswered, TestLostAnswer. Off switch: D20, no
// answer is taken for no effect.

package orders

import (
	"context"
	"errors"
	"sync/atomic"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
)

// stepError is a step that did not succeed.
type stepError struct {
	err     error
	unknown bool // it may have had its effect
}

func (e *stepError) Error() string { return e.err.Error() }

func (e *stepError) Unwrap() error { return e.err }

// outcome watches the attempts of one step.
type outcome struct {
	optimist bool         // D20
	open     atomic.Int64 // attempts begun whose effect is not known
}

func newOutcome(defects defect.Set) *outcome {
	return &outcome{optimist: defects.Has(defect.TimeoutMeansFailed)}
}

func (o *outcome) attempt(ctx context.Context, f func(ctx context.Context) error) error {
	o.open.Add(1)
	err := f(ctx)
	if known(err) {
		o.open.Add(-1)
	}
	return err
}

// of is the step's error with what is known about its effect.
func (o *outcome) of(err error) error {
	if err == nil {
		return nil
	}
	return &stepError{err, o.open.Load() > 0 && !o.optimist}
}

// known reports whether an attempt's effect is certain: done, refused, or not
// even sent.
func known(err error) bool {
	return err == nil || refused(err) || call.NotSent(err)
}

// refused: the callee looked at it and said no.
func refused(err error) bool {
	var status *call.StatusError
	return errors.As(err, &status) && !call.Unavailable(err)
}

// undo is the first compensation after a failure in a step: cancelled when
// there is nothing to undo.
func undo(s state, failed error) state {
	var step *stepError
	unknown := !errors.As(failed, &step) || step.unknown
	switch {
	case s == stateReserving && !unknown:
		return stateCancelled
	case s == stateReserving, s == stateCharging && !unknown:
		return stateReleasing
	default:
		return stateRefunding
	}
}
