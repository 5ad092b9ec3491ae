package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// LostError is a call without an answer. Whether it was executed is unknown,
// unless NotSent says otherwise.
type LostError struct {
	Edge string
	Err  error
}

// Error names the edge and the cause.
func (e *LostError) Error() string { return fmt.Sprintf("call %s: %v", e.Edge, e.Err) }

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Err }

// StatusError is an answer other than 2xx.
type StatusError struct {
	Edge   string
	Status int
	Detail string
}

// Error names the edge, the status and what the callee said.
func (e *StatusError) Error() string {
	return fmt.Sprintf("call %s: status %d: %s", e.Edge, e.Status, e.Detail)
}

// Unavailable reports whether the callee failed rather than refused: no answer,
// or one of 500, 502, 503, 504. Only such a call may be retried or sent
// elsewhere; a refusal would be the same the next time.
func Unavailable(err error) bool {
	if err == nil {
		return false // at once, and without an allocation: it is asked for each call
	}
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var lost *LostError
	return errors.As(err, &lost) || IsTimeout(err)
}

// notSentError is a call that failed before anything was sent.
type notSentError struct{ err error }

func (e *notSentError) Error() string { return e.err.Error() }
func (e *notSentError) Unwrap() error { return e.err }

// NotSent reports whether the callee cannot have seen the call: there was no time
// left, no instance, no place in the pool or no connection to send it on.
func NotSent(err error) bool {
	var unsent *notSentError
	if errors.As(err, &unsent) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// IsTimeout reports whether time ran out: the caller's, the policy's or the socket's.
func IsTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
