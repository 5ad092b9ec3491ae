package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

const patience = 8 * time.Second

// instance is one running service with a bus whose times are short.
type instance struct {
	*Bus
	host *service.Host
	stop func()
}

// start runs a service; use says what it does with the bus.
func start(t *testing.T, url string, use func(h *service.Host, b *Bus), defects ...string) *instance {
	i := &instance{}
	i.host, i.stop = servicetest.Run(t, func(_ context.Context, h *service.Host) (err error) {
		if i.Bus, err = Connect(h); err != nil {
			return err
		}
		i.times = times{ackWait: 500 * time.Millisecond, pinTTL: 2 * time.Second, redeliver: 20 * time.Millisecond, redriveAfter: 100 * time.Millisecond}
		use(h, i.Bus)
		return nil
	}, servicetest.Config(t, map[string]string{"NATS_URL": url}, defects...))
	i.stop = sync.OnceFunc(i.stop)
	t.Cleanup(i.stop)
	return i
}

// kill cuts an instance off as its death would: what it has in hand is lost.
func (i *instance) kill() { i.conn.Close() }

// client is a bus that consumes nothing, for publishing and looking.
func client(t testing.TB, url string) *Bus {
	b, err := Dial(url, "test", nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Ensure(t.Context()))
	return b
}

// publish sends an event of an order, "<key>.<seq>", with a body that says its key.
func (b *Bus) publish(t testing.TB, id string, header ...string) {
	t.Helper()
	key := Message{Header: nats.Header{jetstream.MsgIDHeader: {id}}}.Key()
	m := nats.NewMsg("orders.confirmed")
	m.Data = fmt.Appendf(nil, `{"key":%q}`, key)
	m.Header.Set(jetstream.MsgIDHeader, id)
	m.Header.Set(service.RequestIDHeader, key)
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	_, err := b.JetStream.PublishMsg(t.Context(), m)
	require.NoError(t, err)
}

// journal remembers what handlers were given, by message id.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, s)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string{}, j.entries...)
}

func (j *journal) count(s string) (n int) {
	for _, e := range j.all() {
		if e == s {
			n++
		}
	}
	return n
}

func id(m Message) string { return m.Header.Get(jetstream.MsgIDHeader) }

func eventually(t *testing.T, ok func() bool, msg ...any) {
	t.Helper()
	require.Eventually(t, ok, patience, 5*time.Millisecond, msg...)
}

func TestConnectNeedsAnAddress(t *testing.T) {
	h := servicetest.Host(t)
	_, err := Connect(h)
	assert.EqualError(t, err, "configure test: NATS_URL is not set, want host:port[,host:port...]")
}

// TestEnsureWaitsForTheBus: a service starts before the bus does, and who comes
// first does not matter.
func TestEnsureWaitsForTheBus(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	away, err := Dial("127.0.0.1:1", "test", nil)
	require.NoError(t, err, "the bus may be away")
	defer away.Close()
	require.ErrorIs(t, away.Ensure(ctx), context.DeadlineExceeded)

	url := bustest.Start(t)
	var wg sync.WaitGroup
	for range 4 {
		b, err := Dial(url, "test", nil)
		require.NoError(t, err)
		defer b.Close()
		wg.Go(func() { assert.NoError(t, b.Ensure(t.Context())) })
	}
	wg.Wait()
	b := client(t, url)
	s, err := b.JetStream.Stream(t.Context(), OrdersStream)
	require.NoError(t, err)
	assert.Equal(t, 1, s.CachedInfo().Config.Replicas)
}

func TestBucket(t *testing.T) {
	b := client(t, bustest.Start(t))
	cfg := jetstream.KeyValueConfig{Bucket: "leases", TTL: time.Minute, Storage: jetstream.MemoryStorage}
	for range 2 { // the second finds it
		kv, err := b.Bucket(t.Context(), cfg)
		require.NoError(t, err)
		_, err = kv.PutString(t.Context(), "a", "b")
		require.NoError(t, err)
	}
	cfg.TTL = time.Hour
	kv, err := b.Bucket(t.Context(), cfg)
	require.NoError(t, err, "with other settings it is changed")
	status, err := kv.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, time.Hour, status.TTL())
}

// TestClusterLosesNoAcknowledgedMessage: a node goes while messages are being
// published, and everything that was acknowledged is consumed once.
func TestClusterLosesNoAcknowledgedMessage(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	b := client(t, cluster.URL)
	s, err := b.JetStream.Stream(t.Context(), OrdersStream)
	require.NoError(t, err)
	assert.Equal(t, 3, s.CachedInfo().Config.Replicas)
	kv, err := b.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "leases", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	status, err := kv.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, status.Config().Replicas)

	var got journal
	var c *Consumer
	start(t, cluster.URL, func(h *service.Host, b *Bus) {
		c = b.Consume(h, ConsumerOptions{Name: "c"}, func(_ context.Context, m Message) error { got.add(id(m)); return nil })
	})
	var acknowledged []string
	eventually(t, func() bool { return c.Ready(t.Context()) == nil })
	follower := cluster.Follower(OrdersStream, "c")
	for i := range 60 {
		if i == 20 {
			cluster.Stop(follower)
		}
		m := nats.NewMsg("orders.placed")
		m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("o-%d.1", i))
		if _, err := b.JetStream.PublishMsg(t.Context(), m); err == nil {
			acknowledged = append(acknowledged, id(Message{Header: m.Header}))
		}
	}
	require.Greater(t, len(acknowledged), 30)
	eventually(t, func() bool {
		for _, a := range acknowledged {
			if got.count(a) == 0 {
				return false
			}
		}
		return true
	})
}
