package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/tracing"
)

// tracer exports to endpoint, if any; flush sends what is queued.
func tracer(t *testing.T, service, endpoint string) (tr *tracing.Tracer, flush func()) {
	tr, stop, err := tracing.New(t.Context(), service, service+"-1", func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}[name]
	})
	require.NoError(t, err)
	return tr, func() { require.NoError(t, stop(context.WithoutCancel(t.Context()))) }
}

// journey goes from a client through two services and over the bus to a third:
// the first call of orders to payments fails, the second succeeds.
func journey(t *testing.T, orders, payments, mails *tracing.Tracer, traceparent string) {
	conn, err := nats.Connect(bustest.Start(t))
	require.NoError(t, err)
	defer conn.Close()
	sub, err := conn.SubscribeSync("orders.confirmed")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())

	calls := 0
	payment := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, end := payments.Server(r, "/charges")
		calls++
		status := http.StatusServiceUnavailable
		if calls == 2 {
			status = http.StatusCreated
		}
		w.WriteHeader(status)
		end(status)
	}))
	defer payment.Close()

	r := httptest.NewRequest(http.MethodPost, "/orders", http.NoBody)
	r.Header.Set("X-Request-Id", "op-1")
	r.Header.Set(tracing.Header, traceparent)
	ctx, end := orders.Server(r, "/orders")
	step, stepEnd := orders.Start(ctx, "charge", "order", "o-1")
	assert.Equal(t, 503, post(t, orders, step, payment.URL))
	tracing.Event(step, "retry", "attempt", 2, "cause", errors.New("503"))
	assert.Equal(t, 201, post(t, orders, tracing.WithResend(step, 1), payment.URL))
	stepEnd(nil)

	stored := tracing.Traceparent(ctx) // a row of the outbox; the relay takes it up
	end(http.StatusCreated)
	msg := nats.NewMsg("orders.confirmed")
	msg.Header.Set(nats.MsgIdHdr, "o-1.4")
	_, produced := orders.Produce(tracing.WithTraceparent(t.Context(), stored), msg.Subject, msg.Header)
	require.NoError(t, conn.PublishMsg(msg))
	produced(nil)

	got, err := sub.NextMsg(5 * time.Second)
	require.NoError(t, err)
	_, consumed := mails.Consume(t.Context(), got.Subject, got.Header)
	consumed(errors.New("mailbox full"))
}

func post(t *testing.T, tr *tracing.Tracer, ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/charges", http.NoBody)
	require.NoError(t, err)
	_, end := tr.Client(ctx, "orders -> payments", req.Method, req.URL.Path, req.Header)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	end(resp.StatusCode, nil)
	return resp.StatusCode
}

// TestOneTrace: what three services did for one request is one trace, in which
// the edge, the failed attempt and the retry can be seen.
func TestOneTrace(t *testing.T) {
	to := newReceiver(t)
	orders, flushOrders := tracer(t, "orders", to.URL)
	payments, flushPayments := tracer(t, "payments", to.URL+"/")
	mails, flushMails := tracer(t, "notifications", to.URL)
	const client = "4bf92f3577b34da6a3ce929d0e0e4736"
	journey(t, orders, payments, mails, "00-"+client+"-00f067aa0ba902b7-01")
	flushOrders()
	flushPayments()
	flushMails()

	require.Len(t, to.spans, 8)
	for _, s := range to.spans {
		assert.Equal(t, client, s.Trace, s.Name)
	}
	root := to.find(t, "POST /orders")
	assert.Equal(t, "00f067aa0ba902b7", root.Parent)
	assert.Equal(t, "orders", root.Service)
	assert.Equal(t, pb.Span_SPAN_KIND_SERVER, root.Kind)
	assert.Equal(t, map[string]string{
		"http.request.method": "POST", "url.path": "/orders", "http.route": "/orders",
		"http.request.header.x-request-id": "op-1", "http.response.status_code": "201",
	}, root.Attrs)
	step := to.find(t, "charge")
	assert.Equal(t, root.ID, step.Parent)
	assert.Equal(t, []string{"retry"}, step.Events)

	var attempts []received
	for _, s := range to.spans {
		if s.Name == "POST payments" {
			attempts = append(attempts, s)
			assert.Equal(t, step.ID, s.Parent)
			assert.Equal(t, "payments", s.Attrs["peer.service"])
			assert.Equal(t, "orders -> payments", s.Attrs["shop.edge"])
		}
	}
	require.Len(t, attempts, 2)
	assert.True(t, attempts[0].Failed)
	assert.Equal(t, "503", attempts[0].Attrs["http.response.status_code"])
	assert.False(t, attempts[1].Failed)
	assert.Equal(t, "1", attempts[1].Attrs["http.request.resend_count"])

	sent, handled := to.find(t, "publish orders.confirmed"), to.find(t, "process orders.confirmed")
	assert.Equal(t, root.ID, sent.Parent)
	assert.Equal(t, sent.ID, handled.Parent)
	assert.True(t, handled.Failed)
	assert.Equal(t, "notifications", handled.Service)
	assert.Equal(t, map[string]string{
		"messaging.system": "nats", "messaging.destination.name": "orders.confirmed", "messaging.message.id": "o-1.4",
		"messaging.operation.name": "process", "messaging.operation.type": "process", "error.type": "*errors.errorString",
	}, handled.Attrs)
}

// TestWithoutExporter: ids are made and passed on all the same, by a nil Tracer
// too.
func TestWithoutExporter(t *testing.T) {
	quiet, flush := tracer(t, "orders", "")
	journey(t, quiet, quiet, nil, "")
	flush()
	assert.Empty(t, quiet.Collectors())

	var none *tracing.Tracer
	const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tr := range []*tracing.Tracer{quiet, none} {
		ctx := tracing.WithTraceparent(t.Context(), given)
		h := nats.Header{}
		ctx, _ = tr.Start(ctx, "step")
		_, done := tr.Produce(ctx, "orders.placed", h)
		done(nil)
		trace, span := tracing.IDs(ctx)
		assert.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", trace)
		assert.NotEqual(t, "00f067aa0ba902b7", span)
		assert.Regexp(t, `^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$`, h.Get("traceparent"))
		assert.NotContains(t, h.Get("traceparent"), span, "the message has a span of its own")
	}
	trace, span := tracing.IDs(t.Context())
	assert.Empty(t, trace+span)
	fresh, _ := none.Start(t.Context(), "root")
	assert.Regexp(t, wellFormed, tracing.Traceparent(fresh))
}

var wellFormed = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$`)

// TestExportNeverBlocks: a receiver that is away costs spans, which are
// counted, and not time.
func TestExportNeverBlocks(t *testing.T) {
	to := newReceiver(t)
	to.refuse = true
	tr, flush := tracer(t, "orders", to.URL)
	started := time.Now()
	const spans = 20_000
	for range spans {
		_, end := tr.Start(t.Context(), "step")
		end(nil)
	}
	assert.Less(t, time.Since(started), 5*time.Second)
	flush()
	assert.Zero(t, sum(t, tr, "trace_spans_exported_total"))
	assert.EqualValues(t, spans, sum(t, tr, "trace_spans_dropped_total"))
}

// TestNotSampled: a caller that does not record its trace is not recorded here.
func TestNotSampled(t *testing.T) {
	to := newReceiver(t)
	tr, flush := tracer(t, "orders", to.URL)
	ctx := tracing.WithTraceparent(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	ctx, end := tr.Start(ctx, "step")
	tracing.Event(ctx, "retry")
	end(errors.New("no"))
	flush()
	assert.Empty(t, to.spans)
	assert.Regexp(t, `-00$`, tracing.Traceparent(ctx))
}

func TestUnusableEndpoint(t *testing.T) {
	for _, endpoint := range []string{"http://[::1", "localhost:4318", "http://"} {
		_, _, err := tracing.New(t.Context(), "orders", "orders-1", func(string) string { return endpoint })
		assert.ErrorContains(t, err, "trace to "+endpoint)
	}
}

func sum(t *testing.T, tr *tracing.Tracer, name string) (sum float64) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(tr.Collectors()...)
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func FuzzWithTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	f.Add("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("")
	f.Add("\x00-\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := tracing.Traceparent(tracing.WithTraceparent(context.Background(), s))
		if got != "" && !wellFormed.MatchString(got) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
