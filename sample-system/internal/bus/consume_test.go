package bus

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func TestInstancesShareMessages(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var got [2]journal
	begun := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var once [2]sync.Once
	var consumers [2]*Consumer
	var instances [2]*instance
	for i := range got {
		instances[i] = start(t, url, func(h *service.Host, b *Bus) {
			consumers[i] = b.Consume(h, ConsumerOptions{Name: "c", Subjects: []string{"orders.confirmed"}}, func(_ context.Context, m Message) error {
				got[i].add(id(m))
				once[i].Do(func() { close(begun[i]) })
				<-begun[1-i] // the work lasts until the other has some, too
				return nil
			})
		})
		require.Error(t, (&Consumer{}).Ready(t.Context()))
		eventually(t, func() bool { return consumers[i].Ready(t.Context()) == nil })
	}
	for i := range 200 {
		b.publish(t, fmt.Sprintf("o-%d.1", i))
	}
	eventually(t, func() bool { return len(got[0].all())+len(got[1].all()) >= 200 })
	for i := range 200 {
		name := fmt.Sprintf("o-%d.1", i)
		assert.Equal(t, 1, got[0].count(name)+got[1].count(name), name)
	}
	assert.NotEmpty(t, got[0].all())
	assert.NotEmpty(t, got[1].all())
	assert.NoError(t, consumers[0].Ready(t.Context()))
	eventually(t, func() bool { return servicetest.Metric(t, instances[0].host, "bus_consumer_lag") == 0 })
	instances[0].stop()
	assert.True(t, math.IsNaN(consumers[0].lagging.get()), "unknown is not zero")
}

// TestKilledConsumerLosesNothing: what an instance has taken and not done is
// done by another. Under D16 it is lost.
func TestKilledConsumerLosesNothing(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.AckBeforeWork}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			taken, never := make(chan struct{}, 10), make(chan struct{})
			first := start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c"}, func(ctx context.Context, _ Message) error {
					taken <- struct{}{}
					<-never
					return ctx.Err()
				})
			}, defects...)
			b.publish(t, "o-1.1")
			<-taken
			eventually(t, func() bool { // an acknowledgement has arrived if there is one
				return pending(t, b, "c") == map[bool]int{true: 0, false: 1}[len(defects) > 0]
			})
			first.kill()

			var got journal
			start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c"}, func(_ context.Context, m Message) error { got.add(id(m)); return nil })
			})
			b.publish(t, "o-2.1")
			if len(defects) == 0 {
				eventually(t, func() bool { return got.count("o-1.1") == 1 && got.count("o-2.1") == 1 })
			} else {
				eventually(t, func() bool { return got.count("o-2.1") == 1 && pending(t, b, "c") == 0 })
				letters, err := b.Letters(t.Context(), "")
				require.NoError(t, err)
				assert.Zero(t, got.count("o-1.1")+len(letters), "neither done nor a dead letter")
			}
			close(never)
		})
	}
}

// pending is how many messages a consumer has not settled.
func pending(t *testing.T, b *Bus, consumer string) int {
	c, err := b.JetStream.Consumer(t.Context(), OrdersStream, consumer)
	if err != nil {
		return -1 // not there yet
	}
	return c.CachedInfo().NumAckPending + int(c.CachedInfo().NumPending)
}

// TestStopFinishesWhatIsInHand: an orderly end leaves nothing to come again.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	url := bustest.Start(t)
	b := client(t, url)
	taken, ending := make(chan struct{}, 10), make(chan struct{})
	var got journal
	first := start(t, url, func(h *service.Host, b *Bus) {
		h.OnDrain(func(context.Context) { close(ending) })
		b.Consume(h, ConsumerOptions{Name: "c", Workers: 1}, func(_ context.Context, m Message) error {
			taken <- struct{}{}
			<-ending // the work lasts until the end has begun
			got.add(id(m))
			return nil
		})
	})
	b.publish(t, "o-1.1")
	b.publish(t, "o-2.1")
	<-taken
	first.stop()
	assert.Equal(t, []string{"o-1.1", "o-2.1"}, got.all())
	eventually(t, func() bool { return pending(t, b, "c") == 0 })
}

// TestStopWithoutBus: an end does not wait for a bus that is away.
func TestStopWithoutBus(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	var c *Consumer
	i := start(t, cluster.URL, func(h *service.Host, b *Bus) {
		c = b.Consume(h, ConsumerOptions{Name: "c"}, func(context.Context, Message) error { return nil })
	})
	eventually(t, func() bool { return c.Ready(t.Context()) == nil })
	for n := range 3 {
		cluster.Stop(n)
	}
	eventually(t, func() bool { return !i.Connected() })
	require.Error(t, c.Ready(t.Context()))
	assert.True(t, math.IsNaN(c.lag(t.Context())), "at once")
	began := time.Now()
	i.stop()
	assert.Less(t, time.Since(began), 3*time.Second)
}

// TestExpiry: what is too old is noted and not done. Under D36 it is done.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.ActOnExpired}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			const ttl = 300 * time.Millisecond
			b.publish(t, "old.1")
			b.publish(t, "said.1", ExpiresHeader, time.Now().Format(time.RFC3339Nano))
			<-time.After(ttl) // the consumer is down for longer than the TTL
			var done, dropped journal
			i := start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c", TTL: ttl, Expired: func(_ context.Context, m Message) error {
					dropped.add(id(m))
					return nil
				}}, func(_ context.Context, m Message) error { done.add(id(m)); return nil })
			}, defects...)
			b.publish(t, "fresh.1")
			eventually(t, func() bool { return done.count("fresh.1") == 1 && pending(t, b, "c") == 0 })
			if len(defects) == 0 {
				assert.Equal(t, []string{"fresh.1"}, done.all())
				assert.ElementsMatch(t, []string{"old.1", "said.1"}, dropped.all())
				assert.EqualValues(t, 2, servicetest.Metric(t, i.host, "bus_expired_total"))
			} else {
				assert.ElementsMatch(t, []string{"old.1", "said.1", "fresh.1"}, done.all())
			}
		})
	}
}

// TestExpiredIsNotedBeforeItGoes: as long as it cannot be noted it stays.
func TestExpiredIsNotedBeforeItGoes(t *testing.T) {
	url := bustest.Start(t)
	b := client(t, url)
	b.publish(t, "said.1", ExpiresHeader, time.Now().Format(time.RFC3339Nano))
	var dropped journal
	start(t, url, func(h *service.Host, b *Bus) {
		b.Consume(h, ConsumerOptions{Name: "c", Expired: func(_ context.Context, m Message) error {
			if m.Delivered < 3 {
				return fmt.Errorf("database is away")
			}
			dropped.add(id(m))
			return nil
		}}, func(context.Context, Message) error { return nil })
	})
	eventually(t, func() bool { return dropped.count("said.1") == 1 })
}

// TestWaitingIsNotRedelivered: what waits behind slow work for longer than the
// ack wait is done once, and has lost none of its attempts.
func TestWaitingIsNotRedelivered(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var got journal
	slow := func(ctx context.Context, m Message) error {
		<-time.After(250 * time.Millisecond) // work
		got.add(fmt.Sprint(m.Seq, " delivered ", m.Delivered))
		return ctx.Err()
	}
	start(t, url, func(h *service.Host, b *Bus) {
		b.Consume(h, ConsumerOptions{Name: "parallel", Workers: 1}, slow)
		b.ConsumeBatches(h, ConsumerOptions{Name: "batches"}, BatchOptions{Size: 1}, func(ctx context.Context, batch []Message) error { return slow(ctx, batch[0]) })
	})
	var want []string
	for n := 1; n <= 6; n++ {
		b.publish(t, fmt.Sprintf("o-%d.1", n))
		want = append(want, fmt.Sprint(n, " delivered 1"), fmt.Sprint(n, " delivered 1"))
	}
	eventually(t, func() bool {
		return len(got.all()) >= len(want) && pending(t, b, "parallel")+pending(t, b, "batches") == 0
	})
	assert.ElementsMatch(t, want, got.all())
}
