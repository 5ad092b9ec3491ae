package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestLanes: a message that fails holds up its own key, until it is dead, and
// nobody else. Under D14 it holds up everything, for ever.
func TestLanes(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.PoisonBlocksLane}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			var done, tries journal
			goods := make(chan struct{}) // closed when all of them are done
			var once sync.Once
			i := start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c", Ordered: true}, func(_ context.Context, m Message) error {
					tries.add(id(m))
					if id(m) != "bad.1" {
						if done.add(id(m)); len(of(done.all(), "good-")) == 30 {
							once.Do(func() { close(goods) })
						}
						return nil
					}
					if len(defects) == 0 && tries.count("bad.1") == maxDeliveries {
						<-goods // the last attempt: nobody but its own key has waited for it
						assert.Zero(t, done.count("bad.2"), "its own key waits")
					}
					return Permanent(errPoison)
				})
			}, defects...)
			b.publish(t, "bad.1")
			b.publish(t, "bad.2")
			for n := range 10 {
				for seq := range 3 {
					b.publish(t, fmt.Sprintf("good-%d.%d", n, seq))
				}
			}
			if len(defects) > 0 {
				eventually(t, func() bool { return tries.count("bad.1") > maxDeliveries }, "tried more often than is allowed")
				assert.Empty(t, done.all(), "everything waits behind one message")
				eventually(t, func() bool { return servicetest.Metric(t, i.host, "bus_consumer_lag") == 32 })
				return
			}
			eventually(t, func() bool { return done.count("bad.2") == 1 })
			assert.Equal(t, maxDeliveries, tries.count("bad.1"))
			assert.Equal(t, "bad.1", letterOf(t, b, "bad").Headers["Nats-Msg-Id"])
			assert.Len(t, done.all(), 31)
			for n := range 10 {
				assert.Equal(t, []string{fmt.Sprintf("good-%d.0", n), fmt.Sprintf("good-%d.1", n), fmt.Sprintf("good-%d.2", n)}, of(done.all(), fmt.Sprintf("good-%d.", n)))
			}
			eventually(t, func() bool { return pending(t, b, "c") == 0 })
		})
	}
}

// of are the entries that begin like this.
func of(entries []string, prefix string) []string {
	return slices.DeleteFunc(entries, func(s string) bool { return len(s) < len(prefix) || s[:len(prefix)] != prefix })
}

// TestTakeoverKeepsOrder: an instance dies with messages in hand. The one that
// stands by takes over, and does not begin with younger ones of the same keys.
func TestTakeoverKeepsOrder(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var done journal
	var dead atomic.Bool
	handler := func(name string, mayDo func() bool) func(h *service.Host, b *Bus) {
		return func(h *service.Host, b *Bus) {
			b.Consume(h, ConsumerOptions{Name: "c", Ordered: true}, func(_ context.Context, m Message) error {
				if !mayDo() {
					return errors.New("cannot now")
				}
				done.add(name + " " + id(m))
				return nil
			})
		}
	}
	first := start(t, url, handler("first", func() bool { return !dead.Load() }))
	b.publish(t, "a.1")
	eventually(t, func() bool { return done.count("first a.1") == 1 })
	start(t, url, handler("second", func() bool { return true }))

	dead.Store(true) // it still holds messages, but does none of them
	b.publish(t, "a.2")
	b.publish(t, "b.1")
	b.publish(t, "a.3")
	eventually(t, func() bool { return pending(t, b, "c") == 3 })
	assert.Empty(t, of(done.all(), "second"), "one works, the other stands by")
	first.kill()
	for _, id := range []string{"a.4", "b.2", "a.5"} {
		b.publish(t, id)
	}
	eventually(t, func() bool { return len(of(done.all(), "second")) == 6 })
	assert.Equal(t, []string{"second a.2", "second a.3", "second a.4", "second a.5"}, of(done.all(), "second a"))
	assert.Equal(t, []string{"second b.1", "second b.2"}, of(done.all(), "second b"))
	require.Equal(t, 1, done.count("first a.1"))
}
