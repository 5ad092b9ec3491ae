package tracing_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) find(msg string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, `"msg":"`+msg+`"`) {
			return line
		}
	}
	return ""
}

// TestTraceAcrossHosts is the journey of TestOneTrace with the shop's own host,
// client, policies and bus: their spans are one trace, their log lines carry it.
func TestTraceAcrossHosts(t *testing.T) {
	to, log, natsURL := newReceiver(t), &lines{}, bustest.Start(t)
	run := func(name string, setup service.Setup) (url string, stop func()) {
		cfg := servicetest.Config(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": to.URL, "NATS_URL": natsURL})
		cfg.Service, cfg.Name, cfg.Log = name, name+"-1", log
		h, stop := servicetest.Run(t, setup, cfg)
		return "http://" + h.Addr(), stop
	}
	calls := 0
	paymentsURL, stopPayments := run("payments", func(_ context.Context, h *service.Host) error {
		h.Handle("POST /charges", func(w http.ResponseWriter, r *http.Request) error {
			if calls++; calls == 1 {
				h.Logger.WarnContext(r.Context(), "refusing")
				return service.Problem{Status: http.StatusServiceUnavailable, Title: "busy"}.NotExecuted()
			}
			return service.WriteJSON(w, http.StatusCreated, nil)
		})
		return nil
	})
	ordersURL, stopOrders := run("orders", func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		require.NoError(t, err)
		payments := call.New(h, "payments", call.Static(paymentsURL))
		guard := policy.New(h, payments.Edge, policy.Options{Timeout: time.Second, Retry: &policy.Retry{Attempts: 3, Delay: time.Millisecond, MaxDelay: time.Millisecond}})
		h.Handle("POST /orders", func(w http.ResponseWriter, r *http.Request) error {
			err := guard.Run(r.Context(), "o-1", func(ctx context.Context, key string) error {
				return payments.Post(ctx, "/charges", key, nil, nil)
			})
			require.NoError(t, err)
			msg := &nats.Msg{Subject: "orders.confirmed", Data: []byte("{}"), Header: nats.Header{nats.MsgIdHdr: {"o-1.4"}}}
			ctx, done := h.Tracer.Produce(r.Context(), msg.Subject, msg.Header)
			_, err = b.JetStream.PublishMsg(ctx, msg)
			done(err)
			require.NoError(t, err)
			return service.WriteJSON(w, http.StatusCreated, nil)
		})
		return nil
	})
	handled := make(chan struct{})
	var ready func(context.Context) error
	_, stopMails := run("notifications", func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		require.NoError(t, err)
		ready = b.Consume(h, bus.ConsumerOptions{Name: "notifications"}, func(ctx context.Context, _ bus.Message) error {
			h.Logger.InfoContext(ctx, "mailed")
			close(handled)
			return nil
		}).Ready
		return nil
	})
	require.Eventually(t, func() bool { return ready(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond)
	code, body := servicetest.Post(t, ordersURL+"/orders", "op-1", "")
	require.Equal(t, 201, code, body)
	<-handled
	stopMails()
	stopOrders()
	stopPayments()

	root, published, processed := to.find(t, "POST /orders"), to.find(t, "publish orders.confirmed"), to.find(t, "process orders.confirmed")
	assert.Equal(t, []string{"retry"}, root.Events)
	assert.Equal(t, published.ID, processed.Parent)
	servers, resent := 0, 0
	for _, s := range to.spans {
		assert.Equal(t, root.Trace, s.Trace, "%s %s", s.Service, s.Name)
		if s.Name == "POST /charges" {
			servers++
		}
		if s.Attrs["http.request.resend_count"] == "1" && s.Attrs["shop.edge"] == "orders -> payments" {
			resent++
		}
	}
	assert.Equal(t, 2, servers, "both attempts, where they arrived")
	assert.Equal(t, 1, resent)
	for msg, service := range map[string]string{"refusing": "payments", "mailed": "notifications"} {
		line := log.find(msg)
		assert.Contains(t, line, `"service":"`+service+`"`)
		assert.Contains(t, line, `"trace_id":"`+root.Trace+`"`)
	}
	assert.Contains(t, log.find("refusing"), `"op":"op-1"`)
}
