package tracing

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// Produce begins the span of publishing a message on a subject and puts its
// trace context into the message's header, which must not be nil.
func (t *Tracer) Produce(ctx context.Context, subject string, h nats.Header) (context.Context, func(err error)) {
	ctx, span := t.begin(ctx, "publish "+subject, trace.SpanKindProducer, t.message(subject, h,
		semconv.MessagingOperationName("publish"), semconv.MessagingOperationTypeSend)...)
	propagator.Inject(ctx, carrier(h))
	return ctx, func(err error) { end(span, err) }
}

// Consume begins the span of handling a message, in the trace of its producer.
func (t *Tracer) Consume(ctx context.Context, subject string, h nats.Header) (context.Context, func(err error)) {
	ctx, span := t.begin(propagator.Extract(ctx, carrier(h)), "process "+subject, trace.SpanKindConsumer, t.message(subject, h,
		semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess)...)
	return ctx, func(err error) { end(span, err) }
}

func (t *Tracer) message(subject string, h nats.Header, operation ...attribute.KeyValue) []attribute.KeyValue {
	if !t.exports() {
		return nil
	}
	attrs := append(operation, semconv.MessagingSystemKey.String("nats"), semconv.MessagingDestinationName(subject))
	if id := h.Get(nats.MsgIdHdr); id != "" {
		attrs = append(attrs, semconv.MessagingMessageID(id))
	}
	return attrs
}

// carrier is a NATS header as one of trace context. Its keys have case, so the
// spelling of the W3C, lower case, is kept.
type carrier nats.Header

func (c carrier) Get(key string) string { return nats.Header(c).Get(key) }

func (c carrier) Set(key, value string) { nats.Header(c).Set(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
