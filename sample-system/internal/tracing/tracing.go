// Package tracing gives each request, call and message a span of one trace that
// goes through the whole shop: W3C trace context over HTTP and NATS headers,
// names by OpenTelemetry's semantic conventions.
//
// Answers: which of twenty processes made this checkout fail, and what did the
// others do about it. The trace shows the edge, the retries and the fallback.
//
// Numbers: see export.go, the only place that has any.
//
// Costs: without OTEL_EXPORTER_OTLP_ENDPOINT two random ids per call, which are
// passed on and logged; with it every trace is exported, since the one that
// failed is not known before it ends.
//
// Breaks without it: TestOneTrace here.
//
// Off switch: none; without the endpoint nothing is exported.
package tracing

import (
	"cmp"
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes the spans of one process. A nil Tracer works: it makes ids and
// passes them on, and exports nothing.
type Tracer struct {
	tracer trace.Tracer // nil: nothing is exported
	queue  *queue
}

// New makes the tracer of an instance of a service. Spans go to
// OTEL_EXPORTER_OTLP_ENDPOINT, the base URL of an OTLP/HTTP receiver; unset,
// nowhere. The function it returns sends what is queued, and ends the exporter.
func New(ctx context.Context, service, instance string, getenv func(string) string) (*Tracer, func(context.Context) error, error) {
	endpoint := ""
	if getenv != nil {
		endpoint = getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if endpoint == "" {
		return &Tracer{}, func(context.Context) error { return nil }, nil
	}
	exporter, err := newExporter(ctx, endpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("trace to %s: %w", endpoint, err)
	}
	q := newQueue(exporter)
	provider := sdk.NewTracerProvider(
		sdk.WithSpanProcessor(q),
		sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())),
		sdk.WithResource(resource.NewSchemaless(
			semconv.ServiceName(service),
			semconv.ServiceInstanceID(instance),
			semconv.ServiceVersion(cmp.Or(getenv("SHOP_VERSION"), "v1")),
		)),
	)
	return &Tracer{tracer: provider.Tracer("squall/sample-system"), queue: q}, provider.Shutdown, nil
}

// Start begins a span inside the process, such as a step of a saga; the
// function it returns ends it, with an error if it failed.
func (t *Tracer) Start(ctx context.Context, name string, args ...any) (context.Context, func(error)) {
	ctx, span := t.begin(ctx, name, trace.SpanKindInternal, attributes(args)...)
	return ctx, func(err error) { end(span, err) }
}

// begin starts a span below the one of ctx. Without an exporter it only makes
// the ids.
func (t *Tracer) begin(ctx context.Context, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if !t.exports() {
		ctx = child(ctx)
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
}

func (t *Tracer) exports() bool { return t != nil && t.tracer != nil }

func end(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(semconv.ErrorType(err))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
