package history

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
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

// TestMain lets more tests run at a time than there are cores: they wait for
// the bus most of the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(storetest.Main(m))
}

const patience = 8 * time.Second

// fact is an event of order o-N of customer ada.
func fact(kind, order string, seq int64) event.Event {
	return event.Event{
		Type: kind, ID: fmt.Sprintf("%s.%d", order, seq), Key: order, Seq: seq, At: time.Now(),
		Data: event.Data{Customer: "ada", Items: []event.Item{{SKU: "tea", Qty: 1}}, AmountCents: 1999},
	}
}

// TestProjection: events in the ways they may come, and the view after them, on
// both databases.
func TestProjection(t *testing.T) {
	placed, confirmed, cancelled := fact(event.OrderPlaced, "o", 1), fact(event.OrderConfirmed, "o", 4), fact(event.OrderCancelled, "o", 7)
	at := func(pos uint64, e event.Event) item { return item{Event: e, pos: pos} }
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db, err := store.Open(h, "history", schema("")+schema(shadow))
		require.NoError(t, err)
		p := newProjector(h, db)
		for i, tt := range []struct {
			name     string
			items    []item
			results  []string
			status   string
			disorder int
		}{
			{"in order", []item{at(1, placed), at(2, confirmed), at(3, cancelled)}, []string{applied, applied, applied}, "cancelled", 0},
			{"the same twice", []item{at(1, placed), at(2, confirmed), at(9, placed)}, []string{applied, applied, duplicate}, "confirmed", 0},
			{"redelivered late", []item{at(2, confirmed), at(1, placed)}, []string{applied, late}, "confirmed", 0},
			{"replayed late", []item{at(2, confirmed), {Event: placed, pos: 3, replayed: true}}, []string{applied, late}, "confirmed", 0},
			{"disorder in the stream", []item{at(1, confirmed), at(2, placed)}, []string{applied, outOfOrder}, "placed", 1},
			{"with gaps", []item{at(5, cancelled)}, []string{applied}, "cancelled", 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				key := fmt.Sprintf("o-%d", i)
				for n := range tt.items {
					tt.items[n].Key = key
				}
				results, err := p.apply(t.Context(), "", tt.items)
				require.NoError(t, err)
				assert.Equal(t, tt.results, results)
				var status string
				var disorder int
				require.NoError(t, db.QueryRow(t.Context(), `SELECT status, disorder FROM order_view WHERE order_id = ?`, key).Scan(&status, &disorder))
				assert.Equal(t, tt.status, status)
				assert.Equal(t, tt.disorder, disorder)
			})
		}
		rows, err := (&reader{db: db}).of(t.Context(), "ada")
		require.NoError(t, err)
		assert.Len(t, rows, 6)
		assert.EqualValues(t, 1999, rows[0].Amount)
	})
}

// shop is history on a bus of its own.
type shop struct {
	t    *testing.T
	host *service.Host
	url  string
	bus  *bus.Bus
	stop func()
	env  map[string]string
}

func startShop(t *testing.T, defects ...string) *shop {
	s := &shop{t: t, env: map[string]string{"NATS_URL": servicetest.Bus(t), "SHOP_DATA": t.TempDir()}}
	s.start(defects...)
	t.Cleanup(func() { s.stop() })
	var err error
	s.bus, err = bus.Dial(s.env["NATS_URL"], "test", nil)
	require.NoError(t, err)
	t.Cleanup(s.bus.Close)
	require.NoError(t, s.bus.Ensure(t.Context()))
	return s
}

func (s *shop) start(defects ...string) {
	s.host, s.stop = servicetest.Run(s.t, Setup, servicetest.Config(s.t, s.env, defects...))
	s.url = "http://" + s.host.Addr()
}

func (s *shop) publish(e event.Event) {
	s.t.Helper()
	body, err := event.Encode(e)
	require.NoError(s.t, err)
	s.send(e.Type, e.ID, body)
}

func (s *shop) send(subject, id string, body []byte) {
	s.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(jetstream.MsgIDHeader, id)
	_, err := s.bus.JetStream.PublishMsg(s.t.Context(), m)
	require.NoError(s.t, err)
}

func (s *shop) orders(customer string) (o orders) {
	code, body := servicetest.Get(s.t, s.url+"/customers/"+customer+"/orders")
	require.Equal(s.t, http.StatusOK, code, body)
	require.NoError(s.t, json.Unmarshal([]byte(body), &o))
	return o
}

func (s *shop) view() map[string]audit.Row {
	_, body := servicetest.Get(s.t, s.url+"/audit/view")
	var rows []audit.Row
	require.NoError(s.t, json.Unmarshal([]byte(body), &rows))
	byKey := map[string]audit.Row{}
	for _, r := range rows {
		byKey[r.Key] = r
	}
	return byKey
}

// becomes waits until the view shows a status.
func (s *shop) becomes(order, status string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.view()[order].State == status }, patience, 10*time.Millisecond, "%s is not %s", order, status)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	assert.Empty(t, s.orders("ada").Orders)
	s.publish(fact(event.OrderPlaced, "o-1", 1))
	s.publish(fact(event.OrderConfirmed, "o-1", 4))
	s.send(event.OrderPlaced, "bad", []byte(`{`))
	s.publish(fact(event.OrderPlaced, "o-2", 1))
	s.becomes("o-1", "confirmed")
	s.becomes("o-2", "placed")
	require.Eventually(t, func() bool { // until the malformed one is dead it is behind, for who knows what it says
		o := s.orders("ada")
		return len(o.Orders) == 2 && o.StalenessMS < 200 && time.Since(o.AsOf) < time.Second
	}, patience, 10*time.Millisecond)
	row := s.view()["o-1"]
	assert.Equal(t, 1, row.Effect)
	assert.Equal(t, map[string]string{"customer": "ada", "amount_cents": "1999", "version": "4", "out_of_order": "0"}, row.Attrs)
	require.Eventually(t, func() bool { return len(servicetest.Effects(t, s.url+"/audit/dlq", "bad")) == 1 }, patience, 10*time.Millisecond)
	code, _ := servicetest.Get(t, s.url+"/customers/a%20b/orders")
	assert.Equal(t, http.StatusBadRequest, code)
	_, metrics := servicetest.Get(t, s.url+"/metrics")
	assert.Contains(t, metrics, "history_out_of_order_total 0")
	assert.Contains(t, metrics, "history_staleness_seconds")
}

// TestDisorderShows: what a relay that publishes out of order does to the view.
func TestDisorderShows(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	s.publish(fact(event.OrderConfirmed, "o-1", 4))
	s.publish(fact(event.OrderPlaced, "o-1", 1))
	s.becomes("o-1", "placed")
	assert.Equal(t, "1", s.view()["o-1"].Attrs["out_of_order"])
	assert.EqualValues(t, 1, servicetest.Metric(t, s.host, "history_out_of_order_total"))
}

// TestNewVersion: an event of a version to come is not in the view; under D35 it
// is, with a wrong amount.
func TestNewVersion(t *testing.T) {
	t.Parallel()
	future := []byte(`{"type":"orders.confirmed","version":3,"id":"o-1.4","key":"o-1","seq":4,"at":"2026-05-01T12:00:00Z","data":{"customer":"ada","total":{"units":19,"nanos":990000000}}}`)
	clean := startShop(t)
	clean.send(event.OrderConfirmed, "o-1.4", future)
	require.Eventually(t, func() bool { return len(servicetest.Effects(t, clean.url+"/audit/dlq", "o-1.4")) == 1 }, patience, 10*time.Millisecond)
	assert.Empty(t, clean.view())

	broken := startShop(t, defect.NoVersionCheck)
	broken.send(event.OrderConfirmed, "o-1.4", future)
	broken.becomes("o-1", "confirmed")
	assert.Equal(t, "0", broken.view()["o-1"].Attrs["amount_cents"])
}

// TestRestart: a projector that was away catches up, and says how far it was behind.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	s.publish(fact(event.OrderPlaced, "o-1", 1))
	s.becomes("o-1", "placed")
	s.stop()
	s.publish(fact(event.OrderConfirmed, "o-1", 4))
	s.publish(fact(event.OrderPlaced, "o-2", 1))
	s.start()
	s.becomes("o-1", "confirmed")
	s.becomes("o-2", "placed")
}

// TestRebuild: the view projected anew is the same; one that was damaged is mended.
func TestRebuild(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	const n = 40 // with two events each: more than one transaction
	for i := range n {
		s.publish(fact(event.OrderPlaced, fmt.Sprintf("o-%d", i), 1))
		s.publish(fact(event.OrderConfirmed, fmt.Sprintf("o-%d", i), 4))
	}
	s.send(event.OrderPlaced, "bad", []byte(`{`))
	s.becomes(fmt.Sprintf("o-%d", n-1), "confirmed")
	before := s.view()
	rebuild := func() (r rebuilt) {
		code, body := servicetest.Post(t, s.url+"/rebuild", "", "")
		require.Equal(t, http.StatusOK, code, body)
		require.NoError(t, json.Unmarshal([]byte(body), &r))
		r.Seconds = 0
		return r
	}
	want := rebuilt{Events: 2*n + 1, Skipped: 1, Orders: n}
	assert.Equal(t, want, rebuild())
	assert.Equal(t, before, s.view())

	db, err := store.Open(servicetestHost(t, s.env), "history", schema(""))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `UPDATE order_view SET status = 'lost' WHERE order_id = 'o-7'`)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `UPDATE order_view SET order_id = 'o-none' WHERE order_id = 'o-8'`)
	require.NoError(t, err)
	want.Differences = 2
	assert.Equal(t, want, rebuild())
	assert.Equal(t, before, s.view())

	s.publish(fact(event.OrderCancelled, "o-7", 7))
	s.becomes("o-7", "cancelled")
}

// TestRebuildUnderLoad: events that come while it goes on are not lost, and not
// counted twice.
func TestRebuildUnderLoad(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	const n = 100
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			s.publish(fact(event.OrderPlaced, fmt.Sprintf("o-%d", i), 1))
			s.publish(fact(event.OrderConfirmed, fmt.Sprintf("o-%d", i), 4))
		}
	})
	for range 5 {
		require.Eventually(t, func() bool { // a database that is too busy now answers 503
			code, body := servicetest.Post(t, s.url+"/rebuild", "", "")
			return code == http.StatusOK && assert.Contains(t, body, `"differences":0`)
		}, patience, 10*time.Millisecond)
	}
	wg.Wait()
	s.becomes(fmt.Sprintf("o-%d", n-1), "confirmed")
	for order, row := range s.view() {
		assert.Equal(t, "confirmed", row.State, order)
		assert.Equal(t, "0", row.Attrs["out_of_order"], order)
	}
	assert.Len(t, s.view(), n)
}

func servicetestHost(t *testing.T, env map[string]string) *service.Host {
	h := service.Bare(servicetest.Config(t, env))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// TestRebuildFails: the old view stays.
func TestRebuildFails(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	s.publish(fact(event.OrderPlaced, "o-1", 1))
	s.becomes("o-1", "placed")
	require.NoError(t, s.bus.JetStream.DeleteStream(t.Context(), bus.OrdersStream))
	code, body := servicetest.Post(t, s.url+"/rebuild", "", "")
	assert.Equal(t, http.StatusInternalServerError, code, body)
	assert.Len(t, s.view(), 1)
}

// fakeBacklog says what a consumer has to do.
type fakeBacklog struct {
	oldest time.Time
	err    error
	asked  int
}

func (f *fakeBacklog) Oldest(context.Context) (time.Time, error) {
	f.asked++
	return f.oldest, f.err
}

func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeBacklog{}
		s := &staleness{consumer: f, known: time.Now()}
		start := time.Now()
		assert.Equal(t, start, s.asOf(t.Context()), "nothing to do: now")
		time.Sleep(time.Second)
		assert.Equal(t, start.Add(time.Second), s.asOf(t.Context()))
		f.oldest = time.Now()
		time.Sleep(3 * time.Second)
		assert.Equal(t, f.oldest, s.asOf(t.Context()), "behind since the oldest message")
		f.oldest, f.err = time.Time{}, errors.New("bus is away")
		time.Sleep(time.Second)
		assert.Equal(t, 4*time.Second, time.Since(s.asOf(t.Context())), "unknown is not up to date")
		f.err = nil
		asked := f.asked
		for range 10 {
			s.asOf(t.Context())
		}
		assert.Equal(t, asked, f.asked, "the bus is not asked for each answer")
		time.Sleep(askEvery)
		assert.Zero(t, time.Since(s.asOf(t.Context())))
	})
}

// TestStalenessDoesNotWait: while one answer asks a bus that hangs, the others
// go out with what is known.
func TestStalenessDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &staleness{consumer: hung{}, known: time.Now()}
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { assert.Equal(t, start, s.asOf(t.Context())) })
		}
		wg.Wait()
		assert.Equal(t, hangs, time.Since(start))
		s.asOf(t.Context())
		assert.Equal(t, hangs, time.Since(start), "it has just been asked")
	})
}

// TestScrapeDoesNotWait: metrics are there at once while the bus hangs.
func TestScrapeDoesNotWait(t *testing.T) {
	h := servicetest.Host(t)
	synctest.Test(t, func(t *testing.T) {
		newStaleness(h, hung{})
		start := time.Now()
		time.Sleep(time.Second)
		assert.InDelta(t, 1, servicetest.Metric(t, h, "history_staleness_seconds"), 1e-9)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

const hangs = 300 * time.Millisecond

type hung struct{}

func (hung) Oldest(context.Context) (time.Time, error) {
	time.Sleep(hangs)
	return time.Time{}, errors.New("bus is away")
}
