package faults

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broker is a real one in this process, and the target that leads to it.
type broker struct {
	url string
	js  jetstream.JetStream
}

func (b *broker) Name() string { return "notifications -> nats" }
func (b *broker) URL() string  { return b.url }

func startBroker(t *testing.T) *broker {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	require.NoError(t, err)
	return &broker{url: s.ClientURL(), js: js}
}

func (b *broker) publish(t *testing.T, subject string, n int) {
	t.Helper()
	for range n {
		_, err := b.js.Publish(t.Context(), subject, []byte(`{"order":1}`))
		require.NoError(t, err)
	}
}

func (b *broker) held(t *testing.T) uint64 {
	t.Helper()
	s, err := b.js.Stream(t.Context(), "ORDERS")
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}

func (b *broker) consumer(t *testing.T, name string, subjects ...string) jetstream.Consumer {
	t.Helper()
	c, err := b.js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{
		Durable: name, FilterSubjects: subjects, AckPolicy: jetstream.AckExplicitPolicy,
	})
	require.NoError(t, err)
	return c
}

func observe(t *testing.T, f Fault, x Injection) Evidence {
	t.Helper()
	e, err := f.Observe(t.Context(), x)
	require.NoError(t, err)
	return e
}

func TestBusPoison(t *testing.T) {
	b := startBroker(t)
	b.publish(t, "orders.confirmed", 2)
	other, mailer := b.consumer(t, "other", "orders.created"), b.consumer(t, "mailer", "orders.confirmed")

	k, f := newFault(t, "bus-poison", map[string]any{"subject": "orders.confirmed", "headers": map[string]any{"Event": "confirmed"}})
	assert.Equal(t, "3 messages that cannot be read to orders.confirmed", f.Describe())
	x := Injection{ID: "bad", Target: b, Seed: 0xabc}
	undo, err := f.Prepare(t.Context(), x)
	require.NoError(t, err)
	assert.JSONEq(t, `{"stream":"ORDERS","prefix":"poison-bad-00000abc-2","count":3,"after":2}`, string(undo))
	assert.Equal(t, uint64(2), b.held(t), "prepare only reads")
	assert.Equal(t, Evidence{}, observe(t, f, x), "not injected")

	require.NoError(t, f.Inject(t.Context(), x))
	b.publish(t, "orders.confirmed", 1)
	b.publish(t, "orders.created", 1)
	_, err = other.Next()
	require.NoError(t, err)
	e := observe(t, f, x)
	assert.True(t, e.Active)
	assert.Equal(t, "messages", e.Receipt.Unit)
	assert.Zero(t, e.Receipt.Hits, "a consumer of another subject got past them, nobody was given them")

	ids := []string{"poison-bad-00000abc-2-1", "poison-bad-00000abc-2-2", "poison-bad-00000abc-2-3"}
	assert.Equal(t, ids[:2], poisonAmong(t, mailer, 4), "two good ones came first")
	e = observe(t, f, x)
	assert.True(t, e.Active, "delivered, but nobody is done with it")
	assert.Equal(t, uint64(2), e.Receipt.Hits)
	assert.Equal(t, ids, e.Receipt.Items)
	assert.Equal(t, "3 acknowledged by stream ORDERS as 3 to 5, 2 seen delivered to a consumer", e.Receipt.Note)

	for range 2 { // idempotent
		require.NoError(t, k.Revert(t.Context(), x, undo))
		assert.Equal(t, uint64(4), b.held(t), "the system's own messages stay")
	}
	assert.False(t, observe(t, f, x).Active)
}

// poisonAmong fetches n messages and returns the ids of those that are poison.
func poisonAmong(t *testing.T, c jetstream.Consumer, n int) (ids []string) {
	t.Helper()
	batch, err := c.Fetch(n)
	require.NoError(t, err)
	for m := range batch.Messages() {
		id := m.Headers().Get(nats.MsgIdHdr)
		if id == "" {
			continue
		}
		ids = append(ids, id)
		assert.Equal(t, id, m.Headers().Get("X-Request-Id"))
		assert.Equal(t, "confirmed", m.Headers().Get("Event"))
		assert.False(t, json.Valid(m.Data()))
	}
	return ids
}

func TestBusPoisonIsOverOnceConsumed(t *testing.T) {
	b := startBroker(t)
	mailer := b.consumer(t, "mailer")
	_, f := newFault(t, "bus-poison", map[string]any{"subject": "orders.confirmed", "count": 1})
	x := Injection{ID: "bad", Target: b}
	_, err := f.Prepare(t.Context(), x)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), x))
	m, err := mailer.Next()
	require.NoError(t, err)
	require.NoError(t, m.DoubleAck(t.Context()))
	e := observe(t, f, x)
	assert.False(t, e.Active)
	assert.Equal(t, uint64(1), e.Receipt.Hits)
}

// The broker drops a message whose id it remembers, also that of an earlier run.
func TestBusPoisonTwice(t *testing.T) {
	b := startBroker(t)
	x := Injection{ID: "bad", Target: b, Seed: 1}
	for range 2 {
		k, f := newFault(t, "bus-poison", map[string]any{"subject": "orders.confirmed"})
		undo, err := f.Prepare(t.Context(), x)
		require.NoError(t, err)
		require.NoError(t, f.Inject(t.Context(), x))
		assert.Equal(t, uint64(3), b.held(t))
		require.NoError(t, k.Revert(t.Context(), x, undo))
	}
}

func TestBusPoisonNeedsAStreamAndABroker(t *testing.T) {
	b := startBroker(t)
	_, f := newFault(t, "bus-poison", map[string]any{"subject": "payments.done"})
	_, err := f.Prepare(t.Context(), Injection{Target: b})
	assert.ErrorContains(t, err, "no stream covers payments.done")
	_, err = f.Prepare(t.Context(), Injection{Target: &memLink{}})
	assert.EqualError(t, err, "a -> b is no link to a broker")
	_, err = f.Prepare(t.Context(), Injection{Target: &broker{url: "nats://127.0.0.1:1"}})
	assert.ErrorContains(t, err, "connect to broker nats://127.0.0.1:1")
}

func TestSubjectCovers(t *testing.T) {
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.b", "a.b.c", false}, {"a.b.c", "a.b", false},
		{"a.*", "a.b", true}, {"*.b", "a.b", true}, {"a.*", "a.b.c", false},
		{"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {">", "a", true},
	} {
		assert.Equal(t, c.want, SubjectCovers(c.filter, c.subject), fmt.Sprint(c))
	}
}

// comesBack is a broker that is down for the first few who ask.
type comesBack struct {
	*broker
	down int
}

func (b *comesBack) URL() string {
	if b.down--; b.down >= 0 {
		return "nats://127.0.0.1:1"
	}
	return b.url
}

// The broker may be down by another fault, which is undone at the same time.
func TestBusPoisonIsUndoneOnceTheBrokerIsBack(t *testing.T) {
	b := startBroker(t)
	k, f := newFault(t, "bus-poison", map[string]any{"subject": "orders.confirmed", "count": 2})
	x := Injection{ID: "poison", Target: b, Seed: 1}
	undo, err := f.Prepare(t.Context(), x)
	require.NoError(t, err)
	require.NoError(t, f.Inject(t.Context(), x))
	require.EqualValues(t, 2, b.held(t))
	x.Target = &comesBack{b, 2}
	require.NoError(t, k.Revert(t.Context(), x, undo))
	assert.Zero(t, b.held(t))
}
