package orders

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/event"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// stream reads the events of the stream until n are there, in its order.
func stream(t testing.TB, url string, n int) (events []event.Event, headers []nats.Header) {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	decoder := event.NewDecoder(servicetest.Host(t))
	read := func() (msgs []jetstream.Msg) {
		c, err := js.OrderedConsumer(t.Context(), bus.OrdersStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"orders.>"}})
		if err != nil {
			return nil // the stream is not there yet
		}
		batch, err := c.FetchNoWait(1000)
		require.NoError(t, err)
		for m := range batch.Messages() {
			msgs = append(msgs, m)
		}
		return msgs
	}
	var msgs []jetstream.Msg
	require.Eventually(t, func() bool { msgs = read(); return len(msgs) >= n }, waitLong, 20*time.Millisecond, "want %d events", n)
	for _, m := range msgs {
		e, err := decoder.Decode(m.Data())
		require.NoError(t, err)
		require.Equal(t, e.Type, m.Subject())
		events, headers = append(events, e), append(headers, m.Headers())
	}
	return events, headers
}

// overtaken counts events behind a later one of the same order.
func overtaken(events []event.Event) (n int) {
	last := map[string]int64{}
	for _, e := range events {
		if e.Seq <= last[e.Key] {
			n++
		}
		last[e.Key] = max(last[e.Key], e.Seq)
	}
	return n
}

// bench is a relay on the database of h that the test runs by hand.
func bench(t testing.TB, h *service.Host, url string, leads func() (int64, bool)) (*relay, *log) {
	h.Getenv = with(h.Getenv, "NATS_URL", url)
	b, err := bus.Connect(h)
	require.NoError(t, err)
	require.NoError(t, b.Ensure(t.Context()))
	l := parts(t, h, newPartners(t), "orders-1").log
	return newRelay(h, l.db, l.outbox, b, leads), l
}

func with(getenv func(string) string, name, value string) func(string) string {
	return func(n string) string {
		if n == name {
			return value
		}
		return getenv(n)
	}
}

func leads() (int64, bool) { return 1, true }

// fill writes orders whose three events wait in the outbox.
func fill(t testing.TB, l *log, from, n int) {
	for i := from; i < from+n; i++ {
		o, err := l.append(t.Context(), order{ID: fmt.Sprintf("o-%03d", i)}, placedFact(), change{kind: kindReserved}, change{kind: kindCharged}, change{kind: kindConfirmed})
		require.NoError(t, err)
		_, err = l.append(t.Context(), o, change{kindWithdrawn, factData{Reason: withdrawn}}, change{kind: kindRefunded}, change{kind: kindReleased})
		require.NoError(t, err)
	}
}

// TestRelayOrder: three events of each order that wait together arrive in their
// order; under D34 they overtake each other.
func TestRelayOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects []string
		ordered bool
	}{
		"in order":         {nil, true},
		"D34 newest first": {[]string{defect.RelayOutOfOrder}, false},
	} {
		t.Run(name, func(t *testing.T) {
			url := servicetest.Bus(t)
			r, l := bench(t, servicetest.Host(t, tt.defects...), url, leads)
			const n = relayBatch/3 + 20 // more than a round takes
			fill(t, l, 0, n)
			runUntil(t, r.run, func() bool { return l.db.Count(`SELECT count(*) FROM outbox`)() == 0 })
			events, headers := stream(t, url, 3*n)
			assert.Len(t, events, 3*n)
			assert.Equal(t, tt.ordered, overtaken(events) == 0, "%d overtaken", overtaken(events))
			for i, e := range events {
				assert.Equal(t, e.ID, headers[i].Get("Nats-Msg-Id"))
				assert.Equal(t, e.Key, headers[i].Get(service.RequestIDHeader))
				assert.Equal(t, fmt.Sprintf("%s.%d", e.Key, e.Seq), e.ID)
				assert.Equal(t, "ada", e.Data.Customer)
				assert.Equal(t, int64(3998), e.Data.AmountCents)
				assert.Equal(t, e.Type == "orders.cancelled", e.Data.Reason == withdrawn)
			}
		})
	}
}

// TestRelayInterrupted: relays that lose the lead at any moment, or die before
// they can forget what they sent, leave each event once and in order.
func TestRelayInterrupted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := servicetest.Bus(t)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		term, left := int64(1), 0
		r, l := bench(t, h, url, func() (int64, bool) { left--; return term, left >= 0 })
		const orders = 60
		for filled := 0; l.db.Count(`SELECT count(*) FROM outbox`)() > 0 || filled < orders; {
			if filled < orders {
				fill(t, l, filled, 6)
				filled += 6
			}
			term, left = term+1, random.IntN(4)
			if random.IntN(3) == 0 { // dies before it can forget
				batch, err := r.oldest(t.Context())
				require.NoError(t, err)
				for _, wave := range r.waves(batch)[:1] {
					_, err = r.publishAll(t.Context(), wave)
					require.NoError(t, err)
				}
				continue
			}
			if _, err := r.round(t.Context(), term); err != nil {
				require.ErrorIs(t, err, errNotLeader)
			}
		}
		events, _ := stream(t, url, 3*orders)
		assert.Len(t, events, 3*orders)
		assert.Zero(t, overtaken(events))
	})
}

// TestRelayRound: what waits is under way together, or a bus that is far away
// would let through a few events a second only.
func TestRelayRound(t *testing.T) {
	t.Parallel()
	r, l := bench(t, servicetest.Host(t), servicetest.Bus(t), leads)
	const orders = relayBatch / 3
	fill(t, l, 0, orders)
	batch, err := r.oldest(t.Context())
	require.NoError(t, err)
	assert.Len(t, r.waves(batch), 3, "as many exchanges with the bus as an order has events")
	n, err := r.round(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, 3*orders, n)
	assert.GreaterOrEqual(t, n, 500)
	assert.Zero(t, l.db.Count(`SELECT count(*) FROM outbox`)(), "all are forgotten")
}

func TestWaves(t *testing.T) {
	m := func(order string, id int64) message { return message{order: order, id: id} }
	r := &relay{}
	assert.Equal(t, [][]message{{m("a", 1), m("b", 2), m("c", 5)}, {m("a", 3), m("b", 6)}, {m("a", 4)}},
		r.waves([]message{m("a", 1), m("b", 2), m("a", 3), m("a", 4), m("c", 5), m("b", 6)}))
	assert.Empty(t, r.waves(nil))
}

// TestFormerLeader: a relay that was paused while another one led cannot take
// anything out of the outbox.
func TestFormerLeader(t *testing.T) {
	url := servicetest.Bus(t)
	r, l := bench(t, servicetest.Host(t), url, func() (int64, bool) { return 1, true })
	now := *r
	now.leads = func() (int64, bool) { return 2, true }
	fill(t, l, 0, 1)
	n, err := now.round(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	fill(t, l, 1, 1)
	_, err = r.round(t.Context(), 1)
	require.ErrorIs(t, err, leader.ErrFenced)
	assert.Equal(t, 3.0, l.db.Count(`SELECT count(*) FROM outbox`)(), "they stay")
	events, _ := stream(t, url, 6)
	assert.Zero(t, overtaken(events))
}

// TestOneRelays: of two running instances one relays for both.
func TestOneRelays(t *testing.T) {
	t.Parallel()
	p, url := newPartners(t), servicetest.Bus(t)
	env := p.env(url, map[string]string{"SHOP_DATA": t.TempDir()})
	one, two := instance(t, config(t, 1, env)), instance(t, config(t, 2, env))
	for i := range 10 {
		code, _ := placeAt(t, []string{one, two}[i%2], fmt.Sprintf("o-%d", i), "tea")
		require.Equal(t, 201, code)
	}
	events, headers := stream(t, url, 20)
	assert.Len(t, events, 20)
	assert.Zero(t, overtaken(events))
	assert.NotEmpty(t, headers[0].Get("traceparent"))
}

// TestRelayWaitsForTheBus ends in good order without one.
func TestRelayWaitsForTheBus(t *testing.T) {
	h := servicetest.Host(t)
	h.Getenv = with(h.Getenv, "NATS_URL", "127.0.0.1:1")
	b, err := bus.Connect(h)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := parts(t, h, newPartners(t), "orders-1").log
	require.NoError(t, newRelay(h, l.db, l.outbox, b, leads).run(ctx))
}
