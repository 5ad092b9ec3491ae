package notifications

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const patience = 8 * time.Second

func fact(kind, order string, seq int64) event.Event {
	return event.Event{
		Type: kind, ID: fmt.Sprintf("%s.%d", order, seq), Key: order, Seq: seq, At: time.Now(),
		Data: event.Data{Customer: "ada", Items: []event.Item{{SKU: "tea", Qty: 1}}, AmountCents: 1999},
	}
}

// publish sends a body on a subject, as the relay of orders does.
func publish(t *testing.T, js jetstream.JetStream, subject, id string, body []byte, header ...string) {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header.Set(service.RequestIDHeader, id)
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	_, err := js.PublishMsg(t.Context(), m)
	require.NoError(t, err)
}

func publishEvent(t *testing.T, js jetstream.JetStream, e event.Event, header ...string) {
	t.Helper()
	b, err := event.Encode(e)
	require.NoError(t, err)
	publish(t, js, e.Type, e.ID, b, header...)
}

// run starts notifications and returns its URL and a way to publish.
func run(t *testing.T, defects ...string) (url string, js jetstream.JetStream) {
	nats := servicetest.Bus(t)
	url = servicetest.Start(t, Setup, map[string]string{"NATS_URL": nats}, defects...)
	b, err := bus.Dial(nats, "test", nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Ensure(t.Context()))
	require.Eventually(t, func() bool { code, _ := servicetest.Get(t, url+"/readyz"); return code == http.StatusOK }, patience, 5*time.Millisecond)
	return url, b.JetStream
}

func book(t *testing.T, url string) (rows []audit.Row) {
	t.Helper()
	code, body := servicetest.Get(t, url)
	require.Equal(t, http.StatusOK, code, body)
	require.NoError(t, json.Unmarshal([]byte(body), &rows))
	return rows
}

func TestMails(t *testing.T) {
	url, js := run(t)
	publishEvent(t, js, fact(event.OrderConfirmed, "o-1", 4))
	publishEvent(t, js, fact(event.OrderCancelled, "o-1", 7))
	publishEvent(t, js, fact(event.OrderPlaced, "o-2", 1)) // no mail
	publish(t, js, event.OrderConfirmed, "o-3.4", []byte(`{"type":"orders.confirmed","version":1,"id":"o-3.4","key":"o-3","seq":4,"at":"2026-05-01T12:00:00Z","data":{"customer":"bob","amount_cents":5}}`))
	publish(t, js, event.OrderConfirmed, "o-1.4 again", mustEncode(t, fact(event.OrderConfirmed, "o-1", 4))) // past the window of the stream
	require.Eventually(t, func() bool {
		_, m := servicetest.Get(t, url+"/metrics")
		return strings.Contains(m, `notifications_total{result="duplicate"} 1`)
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(book(t, url+"/audit/mails")) == 3 }, patience, 10*time.Millisecond)
	assert.ElementsMatch(t, []int{1, 0}, servicetest.Effects(t, url+"/audit/mails", "o-1"), "that of the cancellation is no effect of the checkout")
	assert.Equal(t, []int{1}, servicetest.Effects(t, url+"/audit/mails", "o-3"), "the old version is understood")
	row := book(t, url+"/audit/mails")[0]
	assert.Equal(t, "sent", row.State)
	assert.Equal(t, "ada", row.Attrs["customer"])
	assert.Contains(t, row.Attrs, "age_ms")
	_, metrics := servicetest.Get(t, url+"/metrics")
	assert.Contains(t, metrics, "notification_lag_seconds_count 3")
}

func mustEncode(t *testing.T, e event.Event) []byte {
	b, err := event.Encode(e)
	require.NoError(t, err)
	return b
}

// TestUnreadableEvents: malformed ones and versions of the future become dead
// letters with their cause; others are not held up.
func TestUnreadableEvents(t *testing.T) {
	url, js := run(t)
	publish(t, js, event.OrderConfirmed, "poison", []byte(`{"version":`))
	publish(t, js, event.OrderConfirmed, "future", []byte(`{"type":"orders.confirmed","version":3,"id":"o-9.4","key":"o-9","seq":4,"at":"2026-05-01T12:00:00Z","data":{"customer":"bob","total":5}}`))
	publishEvent(t, js, fact(event.OrderConfirmed, "o-1", 4))
	require.Eventually(t, func() bool { return len(servicetest.Effects(t, url+"/audit/mails", "o-1")) == 1 }, time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(book(t, url+"/audit/dlq")) == 2 }, patience, 10*time.Millisecond)
	causes := map[string]string{}
	for _, row := range book(t, url+"/audit/dlq") {
		causes[row.Key] = row.Attrs["cause"]
		assert.Equal(t, "4", row.Attrs["deliveries"])
		assert.Equal(t, "true", row.Attrs["permanent"])
	}
	assert.Equal(t, map[string]string{
		"poison": "event is not JSON: unexpected EOF", "future": "event orders.confirmed has version 3, known are 1 to 2",
	}, causes)
}

// TestMailExpires: news that are too old are not sent, and noted.
func TestMailExpires(t *testing.T) {
	url, js := run(t)
	publishEvent(t, js, fact(event.OrderConfirmed, "o-1", 4), bus.ExpiresHeader, time.Now().Format(time.RFC3339Nano))
	publishEvent(t, js, fact(event.OrderConfirmed, "o-2", 4))
	require.Eventually(t, func() bool { return len(book(t, url+"/audit/expired")) == 1 }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(servicetest.Effects(t, url+"/audit/mails", "o-2")) == 1 }, patience, 10*time.Millisecond)
	row := book(t, url+"/audit/expired")[0]
	assert.Equal(t, "o-1", row.Key)
	assert.Equal(t, "expired", row.State)
	assert.Equal(t, event.OrderConfirmed, row.Attrs["subject"])
	assert.Empty(t, servicetest.Effects(t, url+"/audit/mails", "o-1"))
}

func TestMailTTL(t *testing.T) {
	for s, want := range map[string]time.Duration{"": 20 * time.Second, "1h": time.Hour} {
		got, err := mailTTL(s)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	cfg := servicetest.Config(t, map[string]string{"SHOP_MAIL_TTL": "soon"})
	_, err := service.New(t.Context(), cfg, Setup)
	assert.ErrorContains(t, err, `SHOP_MAIL_TTL: time: invalid duration "soon"`)
}

// TestMailIsSentOnce: on both databases; twice under D17.
func TestMailIsSentOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db, err := store.Open(h, "notifications", schema)
		require.NoError(t, err)
		for _, tt := range []struct {
			order   string
			second  bool
			defects []string
		}{
			{"clean", false, nil},
			{"defect", true, []string{defect.RepeatEffects}},
		} {
			m := newMailbox(&service.Host{Config: service.Config{Defects: defect.Of(tt.defects...)}}, db)
			for i, want := range []bool{true, tt.second} {
				first, err := m.send(t.Context(), fact(event.OrderConfirmed, tt.order, 4))
				require.NoError(t, err)
				assert.Equal(t, want, first, "%s, delivery %d", tt.order, i+1)
			}
		}
		m := newMailbox(h, db)
		for range 2 {
			require.NoError(t, m.expired(t.Context(), bus.Message{Seq: 1 << 40, Subject: "orders.x", Data: []byte(`{"key":"o-1"}`)}))
		}
		url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
			h.HandleOps("GET /mails", audit.Serve(db, mailsQuery))
			h.HandleOps("GET /expired", audit.Serve(db, expiredQuery))
			return nil
		}, nil)
		assert.Equal(t, []int{1}, servicetest.Effects(t, url+"/mails", "clean"))
		assert.Equal(t, []int{1, 1}, servicetest.Effects(t, url+"/mails", "defect"))
		assert.Equal(t, []int{0}, servicetest.Effects(t, url+"/expired", "o-1"), "noted once")
	})
}

// TestDatabaseAway: an event whose mail cannot be written now is not permanent.
func TestDatabaseAway(t *testing.T) {
	h := servicetest.Host(t)
	db, err := store.Open(h, "notifications", schema)
	require.NoError(t, err)
	mails := newMailer(h, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = mails.handle(ctx, bus.Message{Data: mustEncode(t, fact(event.OrderConfirmed, "o-1", 4))})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, mails.expired(ctx, bus.Message{Subject: event.OrderConfirmed}), context.Canceled)
	assert.EqualValues(t, 1, servicetest.Metric(t, h, "notifications_total"), "an expired one counts when it is noted")
}
