package policy

import (
	"context"
	"errors"
	"fmt"

	"squall/sample-system/internal/call"
)

// outcome keeps what the attempts of one call brought, so that nothing hides it
// from the caller: a call that was lost, and the repetition of which an open
// breaker refused, may have been executed; one that succeeded in the moment in
// which its context ended has succeeded.
type outcome struct {
	done    bool
	got     any
	last    error // of the latest attempt that was begun
	unknown error // of the latest that may have been executed
}

func (o *outcome) note(got any, err error) {
	switch {
	case err == nil:
		o.done, o.got = true, got
	case IsOpen(err):
	default:
		o.last = err
		if call.Unavailable(err) && !call.NotSent(err) {
			o.unknown = err
		}
	}
}

// of is the result of the call, given how its attempts ended.
func (o *outcome) of(got any, err error) (any, error) {
	worst := o.unknown
	if worst == nil {
		worst = o.last
	}
	switch {
	case o.done:
		return o.got, nil
	case err == nil, worst == nil:
		return got, err
	case errors.Is(err, errNoBudget), o.unknown != nil && (IsOpen(err) || call.NotSent(err)):
		return nil, worst
	case isContext(err) && isContext(worst):
		return nil, worst // says on which edge
	case isContext(err):
		return nil, fmt.Errorf("%w, then: %w", worst, err)
	default:
		return got, err
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
