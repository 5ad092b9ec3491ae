package service

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
)

// Headers that travel with an operation through the whole shop. The trace
// context travels beside them, by package tracing.
const (
	RequestIDHeader   = "X-Request-Id"
	IdempotencyHeader = "Idempotency-Key"
)

// Operation is what a user asked for, across all calls and messages for it,
// retries and replays included. A trace is one attempt at it.
type Operation struct {
	ID string // X-Request-Id
}

type operationKey struct{}

// WithOperation puts op into the context, from where clients and logs take it.
func WithOperation(ctx context.Context, op Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, op)
}

// OperationFrom is the operation of a context, zero if there is none.
func OperationFrom(ctx context.Context) Operation {
	op, _ := ctx.Value(operationKey{}).(Operation)
	return op
}

// OperationOf reads the operation of a request; one that comes without a valid
// id gets its own.
func OperationOf(r *http.Request) Operation {
	id := r.Header.Get(RequestIDHeader)
	if !ValidID(id) {
		id = rand.Text()
	}
	return Operation{ID: id}
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

// ValidID reports whether s may be an operation, order or idempotency id. Ids
// end up in paths, headers and logs, so the alphabet is small.
func ValidID(s string) bool { return idPattern.MatchString(s) }
