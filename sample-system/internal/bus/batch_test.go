package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// TestBatch: messages are handled together, a batch ends when it is full or
// old, and a bad message costs only itself.
func TestBatch(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	for n := range 20 {
		b.publish(t, fmt.Sprintf("good-%d.1", n))
	}
	b.publish(t, "said.1", ExpiresHeader, time.Now().Format(time.RFC3339Nano))
	b.publish(t, "bad.1")
	var sizes, done journal
	start(t, url, func(h *service.Host, b *Bus) {
		b.ConsumeBatches(h, ConsumerOptions{Name: "c"}, BatchOptions{Size: 8, Wait: 20 * time.Millisecond}, func(_ context.Context, batch []Message) error {
			for _, m := range batch {
				if m.Key() == "bad" {
					return Permanent(errPoison)
				}
			}
			for _, m := range batch {
				done.add(m.Key())
			}
			sizes.add(fmt.Sprint(len(batch)))
			return nil
		})
	})
	eventually(t, func() bool { return len(done.all()) >= 20 })
	assert.Len(t, done.all(), 20)
	assert.Equal(t, []string{"8", "8", "1", "1", "1", "1"}, sizes.all(), "two full ones, then the one with the bad message by itself")
	assert.Equal(t, "bad.1", letterOf(t, b, "bad").Headers["Nats-Msg-Id"])
	b.publish(t, "late.1")
	eventually(t, func() bool { return done.count("late") == 1 }, "a batch does not wait to be full")
}

// TestKillWithPartFilledBatch: what was collected and not committed comes
// again. Under D16 it is lost.
func TestKillWithPartFilledBatch(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.AckBeforeWork}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			consume := func(into *journal, size int, wait time.Duration) func(h *service.Host, b *Bus) {
				return func(h *service.Host, b *Bus) {
					b.ConsumeBatches(h, ConsumerOptions{Name: "c"}, BatchOptions{Size: size, Wait: wait}, func(_ context.Context, batch []Message) error {
						for _, m := range batch {
							into.add(m.Key())
						}
						return nil
					})
				}
			}
			var never, got journal
			first := start(t, url, consume(&never, 100, time.Minute), defects...)
			for n := range 5 {
				b.publish(t, fmt.Sprintf("o-%d.1", n))
			}
			eventually(t, func() bool { // all five are in its hands
				c, err := b.JetStream.Consumer(t.Context(), OrdersStream, "c")
				return err == nil && c.CachedInfo().Delivered.Stream == 5 && c.CachedInfo().NumAckPending == map[bool]int{true: 0, false: 5}[len(defects) > 0]
			})
			first.kill()
			start(t, url, consume(&got, 100, 10*time.Millisecond))
			b.publish(t, "o-5.1")
			eventually(t, func() bool { return got.count("o-5") == 1 && pending(t, b, "c") == 0 })
			if len(defects) == 0 {
				require.Len(t, got.all(), 6)
			} else {
				require.Len(t, got.all(), 1, "five are gone")
			}
		})
	}
}
