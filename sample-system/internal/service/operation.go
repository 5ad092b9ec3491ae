package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
)

// Headers that travel with an operation through the whole shop.
const (
	RequestIDHeader   = "X-Request-Id"
	TraceHeader       = "traceparent"
	IdempotencyHeader = "Idempotency-Key"
)

// Operation is what a user asked for, across all calls made for it.
type Operation struct {
	ID          string // X-Request-Id
	Traceparent string // W3C trace context of the caller
}

type operationKey struct{}

// WithOperation puts op into the context, from where clients pass it on.
func WithOperation(ctx context.Context, op Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, op)
}

// OperationFrom is the operation of a context, zero if there is none.
func OperationFrom(ctx context.Context) Operation {
	op, _ := ctx.Value(operationKey{}).(Operation)
	return op
}

// OperationOf reads the operation of a request; one that comes without an id
// or a trace gets its own.
func OperationOf(r *http.Request) Operation {
	op := Operation{ID: r.Header.Get(RequestIDHeader), Traceparent: r.Header.Get(TraceHeader)}
	if !ValidID(op.ID) {
		op.ID = randomHex(16)
	}
	if !traceparent.MatchString(op.Traceparent) {
		op.Traceparent = "00-" + randomHex(16) + "-" + randomHex(8) + "-01"
	}
	return op
}

// Next is the trace context for a call made on behalf of the operation: same
// trace, a span of its own.
func (op Operation) Next() string {
	if !traceparent.MatchString(op.Traceparent) {
		return ""
	}
	return op.Traceparent[:36] + randomHex(8) + op.Traceparent[52:]
}

var (
	traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
)

// ValidID reports whether s may be an operation, order or idempotency id. Ids
// end up in paths, headers and logs, so the alphabet is small.
func ValidID(s string) bool { return idPattern.MatchString(s) }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}
