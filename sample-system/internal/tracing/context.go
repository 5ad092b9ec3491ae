package tracing

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Header is the name of the W3C trace context header.
const Header = "traceparent"

var propagator propagation.TraceContext

// edgeKey names the edge of a call as the shop and its metrics do.
const edgeKey = attribute.Key("shop.edge")

// Traceparent is the trace context of ctx, to be stored with a row; empty if it
// has none.
func Traceparent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagator.Inject(ctx, c)
	return c[Header]
}

// WithTraceparent takes up a trace again that Traceparent stored. One that is
// not well formed leaves ctx as it is.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier{Header: traceparent})
}

// IDs are the trace and span id of ctx, in hex; empty if it has none.
func IDs(ctx context.Context) (traceID, spanID string) {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return "", ""
	}
	return sc.TraceID().String(), sc.SpanID().String()
}

// Event notes on the span of ctx that something happened, such as a retry or a
// fallback; args are keys and values in turn, as for slog.
func Event(ctx context.Context, name string, args ...any) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent(name, trace.WithAttributes(attributes(args)...))
	}
}

// child gives ctx a span id below the one it has, or a trace of its own.
func child(ctx context.Context) context.Context {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		var id trace.TraceID
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1) // all zero is not an id
		sc = trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, TraceFlags: trace.FlagsSampled})
	}
	var id trace.SpanID
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return trace.ContextWithSpanContext(ctx, sc.WithSpanID(id).WithRemote(false))
}

func attributes(args []any) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		key := fmt.Sprint(args[i])
		switch v := args[i+1].(type) {
		case int:
			attrs = append(attrs, attribute.Int(key, v))
		case bool:
			attrs = append(attrs, attribute.Bool(key, v))
		default:
			attrs = append(attrs, attribute.String(key, fmt.Sprint(v)))
		}
	}
	return attrs
}
