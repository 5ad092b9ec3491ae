package shipping

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
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

// TestShipments: each effect once, and nothing that is out of date, on both
// databases.
func TestShipments(t *testing.T) {
	const confirmed, cancelled = event.OrderConfirmed, event.OrderCancelled
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db, err := store.Open(h, "shipping", schema)
		require.NoError(t, err)
		d := newDesk(h, db)
		for i, tt := range []struct {
			name    string
			events  []event.Event
			results []string
			sum     int
		}{
			{"shipped", []event.Event{fact(confirmed, "a", 4)}, []string{"shipped"}, 1},
			{"told twice", []event.Event{fact(confirmed, "a", 4), fact(confirmed, "a", 4)}, []string{"shipped", "outdated"}, 1},
			{"called back", []event.Event{fact(confirmed, "a", 4), fact(cancelled, "a", 7), fact(cancelled, "a", 7)}, []string{"shipped", "cancelled", "outdated"}, 0},
			{"never confirmed", []event.Event{fact(cancelled, "a", 3)}, []string{"cancelled"}, 0},
			{"confirmation comes late", []event.Event{fact(cancelled, "a", 7), fact(confirmed, "a", 4)}, []string{"cancelled", "outdated"}, 0},
			{"confirmed again", []event.Event{fact(confirmed, "a", 4), fact(confirmed, "a", 5)}, []string{"shipped", "shipped"}, 1},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var results []string
				for _, e := range tt.events {
					e.Key = fmt.Sprintf("o-%d", i)
					result, err := d.apply(t.Context(), e)
					require.NoError(t, err)
					results = append(results, result)
				}
				assert.Equal(t, tt.results, results)
				var sum int
				require.NoError(t, db.QueryRow(t.Context(), `SELECT SUM(effect) FROM shipment_log WHERE order_id = ?`, fmt.Sprintf("o-%d", i)).Scan(&sum))
				assert.Equal(t, tt.sum, sum)
			})
		}
	})
}

// TestService: events in, shipments out, by HTTP and as a book.
func TestService(t *testing.T) {
	address := servicetest.Bus(t)
	url := servicetest.Start(t, Setup, map[string]string{"NATS_URL": address})
	b, err := bus.Dial(address, "test", nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Ensure(t.Context()))
	send := func(e event.Event, body []byte) {
		m := nats.NewMsg(e.Type)
		m.Data = body
		if body == nil {
			m.Data, err = event.Encode(e)
			require.NoError(t, err)
		}
		m.Header.Set(jetstream.MsgIDHeader, e.ID)
		_, err := b.JetStream.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
	send(fact(event.OrderConfirmed, "bad", 4), []byte(`{`))
	send(fact(event.OrderConfirmed, "o-1", 4), nil)
	send(fact(event.OrderCancelled, "o-1", 7), nil)
	send(fact(event.OrderConfirmed, "o-2", 4), nil)
	effects := func(key string) func() bool {
		want := map[string][]int{"o-1": {1, -1}, "o-2": {1}}[key]
		return func() bool { return assert.ObjectsAreEqual(want, servicetest.Effects(t, url+"/audit/shipments", key)) }
	}
	require.Eventually(t, effects("o-1"), patience, 5*time.Millisecond)
	require.Eventually(t, effects("o-2"), patience, 5*time.Millisecond)
	code, body := servicetest.Get(t, url+"/shipments/o-1")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, `"status":"cancelled"`)
	code, _ = servicetest.Get(t, url+"/shipments/o-9")
	assert.Equal(t, http.StatusNotFound, code)
	code, _ = servicetest.Get(t, url+"/shipments/%20")
	assert.Equal(t, http.StatusBadRequest, code)
	require.Eventually(t, func() bool { return len(servicetest.Effects(t, url+"/audit/dlq", "bad.4")) == 1 }, patience, 10*time.Millisecond)

	var q quoted
	require.NoError(t, b.Request(t.Context(), QuoteSubject, map[string]string{"sku": "tea"}, &q))
	assert.Equal(t, days("tea"), q.Days)
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		`{"sku":"tea"}`: "", `{"sku":""}`: "422", `{"sku":"a b"}`: "422", `{`: "400", `{"sku":"tea","more":1}`: "400",
	} {
		out, err := quote(context.Background(), []byte(in))
		if want == "" {
			require.NoError(t, err)
			assert.Equal(t, quoted{Days: days("tea")}, out)
			continue
		}
		assert.ErrorContains(t, err, want, in)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte(`{"sku":"tea"}`))
	f.Add([]byte(`{"sku":"\xff"`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := quote(context.Background(), in)
		if q, ok := out.(quoted); err == nil && (!ok || q.Days < 1 || q.Days > 4) {
			t.Fatalf("%q has quote %v", in, out)
		}
	})
}
