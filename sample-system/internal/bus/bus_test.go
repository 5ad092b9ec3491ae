package bus

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
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

// TestMain lets more tests run at a time than there are cores: they wait for
// timers most of the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

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

func TestRedriveAfter(t *testing.T) {
	connect := func(after string) (b *Bus, err error) {
		cfg := servicetest.Config(t, map[string]string{"NATS_URL": "127.0.0.1:1", "SHOP_REDRIVE_AFTER": after})
		h, err := service.New(t.Context(), cfg, func(_ context.Context, h *service.Host) (err error) {
			b, err = Connect(h)
			return err
		})
		if err == nil {
			h.Close()
		}
		return b, err
	}
	for after, want := range map[string]time.Duration{"": 10 * time.Second, "2s": 2 * time.Second} {
		b, err := connect(after)
		require.NoError(t, err)
		assert.Equal(t, want, b.times.redriveAfter)
	}
	_, err := connect("soon")
	assert.ErrorContains(t, err, `SHOP_REDRIVE_AFTER: time: invalid duration "soon"`)
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
// published, and everything that was acknowledged is consumed.
func TestClusterLosesNoAcknowledgedMessage(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	b := client(t, cluster.URL)
	s, err := b.JetStream.Stream(t.Context(), OrdersStream)
	require.NoError(t, err)
	assert.Equal(t, 3, s.CachedInfo().Config.Replicas)
	require.NoError(t, b.createStream(t.Context(), jetstream.StreamConfig{Name: OrdersStream, Subjects: []string{OrdersSubjects}, Replicas: 1}))
	s, err = b.JetStream.Stream(t.Context(), OrdersStream)
	require.NoError(t, err)
	assert.Equal(t, 3, s.CachedInfo().Config.Replicas, "not fewer, whatever one of its users believes")
	require.NoError(t, b.Ensure(t.Context()))
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

// TestLargestEventFitsIntoALetter: one that could not be buried would hold its
// worker for ever.
func TestLargestEventFitsIntoALetter(t *testing.T) {
	b := client(t, bustest.Start(t))
	m := nats.NewMsg("orders.confirmed")
	m.Header.Set(jetstream.MsgIDHeader, "bad.1")
	m.Data = make([]byte, maxEvent)
	_, err := b.JetStream.PublishMsg(t.Context(), m)
	require.ErrorContains(t, err, "message size exceeds maximum allowed")
	m.Data = m.Data[:maxEvent-500]
	_, err = b.JetStream.PublishMsg(t.Context(), m)
	require.NoError(t, err)
	dead := letter(&delivery{stream: OrdersStream, Message: Message{Subject: m.Subject, Header: m.Header, Data: m.Data}}, "notifications", errors.New(strings.Repeat("x", 1000)))
	assert.Less(t, dead.Size(), 256<<10, "what a node takes, see nats/node.go")
}

// TestStreamIsLost: with the disks of all nodes. The consumer goes on by itself.
func TestStreamIsLost(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var got journal
	start(t, url, func(h *service.Host, b *Bus) {
		b.Consume(h, ConsumerOptions{Name: "c"}, func(_ context.Context, m Message) error { got.add(id(m)); return nil })
	})
	b.publish(t, "o-1.1")
	eventually(t, func() bool { return got.count("o-1.1") == 1 })
	require.NoError(t, b.JetStream.DeleteStream(t.Context(), OrdersStream))
	eventually(t, func() bool { _, err := b.JetStream.Stream(t.Context(), OrdersStream); return err == nil })
	b.publish(t, "o-2.1")
	eventually(t, func() bool { return got.count("o-2.1") == 1 })
}

// TestScanEnds: with its context, also while the bus says nothing.
func TestScanEnds(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	full := client(t, url)
	for n := range 1000 { // more than is fetched at a time
		_, err := full.JetStream.PublishAsync("orders.placed", nil, jetstream.WithMsgID(fmt.Sprint(n)))
		require.NoError(t, err)
	}
	<-full.JetStream.PublishAsyncComplete()
	cable := bustest.NewCable(t, url)
	b := client(t, cable.Addr)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	last, err := b.Scan(ctx, 0, func(Message) error { cable.Cut(); return nil })
	require.Error(t, err)
	assert.Less(t, last, uint64(1000))
	assert.Less(t, time.Since(began), 2*time.Second)
}
