package tracing

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// Server begins the span of a request on a route; the function it returns ends
// it with the status that was answered.
func (t *Tracer) Server(r *http.Request, route string) (context.Context, func(status int)) {
	ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if !t.exports() {
		return child(ctx), func(int) {}
	}
	ctx, span := t.begin(ctx, r.Method+" "+route, trace.SpanKindServer,
		semconv.HTTPRequestMethodKey.String(r.Method), semconv.URLPath(r.URL.Path), semconv.HTTPRoute(route))
	if id := r.Header.Get("X-Request-Id"); id != "" {
		span.SetAttributes(semconv.HTTPRequestHeader("x-request-id", id))
	}
	return ctx, func(status int) {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(status))
		}
		span.End()
	}
}

// Client begins the span of a call over an edge, "orders -> payments", and puts
// its trace context into the header. The function it returns ends it: with a
// status, or with the error that came instead of one.
func (t *Tracer) Client(ctx context.Context, edge, method, path string, header http.Header) (context.Context, func(status int, err error)) {
	if !t.exports() {
		ctx = child(ctx)
		propagator.Inject(ctx, propagation.HeaderCarrier(header))
		return ctx, func(int, error) {}
	}
	_, callee, _ := strings.Cut(edge, " -> ")
	resend := resendOf(ctx)
	ctx, span := t.begin(ctx, method+" "+callee, trace.SpanKindClient,
		semconv.HTTPRequestMethodKey.String(method), semconv.URLPath(path), semconv.PeerService(callee), edgeKey.String(edge))
	if resend > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(resend))
	}
	propagator.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, func(status int, err error) {
		if status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		}
		if err == nil && status >= http.StatusBadRequest {
			span.SetStatus(codes.Error, http.StatusText(status))
		}
		end(span, err)
	}
}

type resendKey struct{}

// WithResend says that calls made with ctx are the n-th repetition of one that
// failed; their spans carry it as http.request.resend_count.
func WithResend(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, resendKey{}, n)
}

func resendOf(ctx context.Context) int {
	n, _ := ctx.Value(resendKey{}).(int)
	return n
}
