package faults

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type bus struct{ url string }

func (bus) Name() string  { return "a -> nats" }
func (b bus) URL() string { return b.url }

// broker is a real NATS server with a stream and a consumer.
func broker(t *testing.T) (bus, jetstream.Consumer, jetstream.Stream) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	require.True(t, srv.ReadyForConnections(5*time.Second))
	conn, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*"}})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "orders.confirmed", []byte(`{}`))
	require.NoError(t, err)
	c, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "mails", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	return bus{srv.ClientURL()}, c, s
}

func TestBusPoison(t *testing.T) {
	ctx := context.Background()
	b, consumer, stream := broker(t)
	k := Builtin()["bus-poison"]
	f, err := k.New(params(map[string]any{"subject": "orders.confirmed", "count": 2}))
	require.NoError(t, err)
	x := Injection{ID: "poison", Target: b, Seed: 5}
	undo, err := f.Prepare(ctx, x)
	require.NoError(t, err)
	require.NoError(t, f.Inject(ctx, x))

	e, err := f.Observe(ctx, x)
	require.NoError(t, err)
	assert.Zero(t, e.Receipt.Hits, "published is not yet bitten")
	assert.True(t, e.Active)
	assert.Equal(t, []string{"poison-poison-00000005-1", "poison-poison-00000005-2"}, e.Receipt.Items)

	batch, err := consumer.Fetch(3, jetstream.FetchMaxWait(2*time.Second))
	require.NoError(t, err)
	var got []jetstream.Msg
	for m := range batch.Messages() {
		got = append(got, m)
	}
	require.Len(t, got, 3)
	assert.Equal(t, "{poison", string(got[1].Data()))
	assert.Equal(t, "poison-poison-00000005-1", got[1].Headers().Get("X-Request-Id"))
	e, err = f.Observe(ctx, x)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), e.Receipt.Hits)
	assert.True(t, e.Active, "delivered, but nobody is done with it")

	for range 2 {
		require.NoError(t, k.Revert(ctx, x, undo))
	}
	info, err := stream.Info(ctx)
	require.NoError(t, err)
	assert.Equal(t, uint64(1), info.State.Msgs, "only what was there before is left")
	e, err = f.Observe(ctx, x)
	require.NoError(t, err)
	assert.False(t, e.Active)
	assert.Equal(t, uint64(2), e.Receipt.Hits)
}

func TestBusPoisonNeedsAStream(t *testing.T) {
	b, _, _ := broker(t)
	f, err := Builtin()["bus-poison"].New(params(map[string]any{"subject": "nobody.listens"}))
	require.NoError(t, err)
	_, err = f.Prepare(context.Background(), Injection{ID: "p", Target: b})
	assert.ErrorContains(t, err, "no stream covers nobody.listens")
}
