package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// letterOf waits for the dead letter of an order.
func letterOf(t *testing.T, b *Bus, key string) (l Letter) {
	t.Helper()
	eventually(t, func() bool {
		letters, err := b.Letters(t.Context(), "")
		for _, l = range letters {
			if err == nil && l.Key == key {
				return true
			}
		}
		return false
	}, "no letter of "+key)
	return l
}

// TestRedrive: a message that died of something that heals is replayed once by
// itself; one that cannot heal is not.
func TestRedrive(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var got journal
	var mended atomic.Bool
	i := start(t, url, func(h *service.Host, b *Bus) {
		b.times.redriveAfter = 300 * time.Millisecond
		b.Consume(h, ConsumerOptions{Name: "c"}, func(_ context.Context, m Message) error {
			switch {
			case m.Key() == "malformed":
				return Permanent(errPoison)
			case m.Key() == "hopeless" || !mended.Load():
				return errors.New("database is away")
			}
			got.add(m.Key() + " replays " + m.Header.Get(headerReplays) + " tenant " + m.Header.Get("X-Tenant"))
			return nil
		})
	})
	b.publish(t, "healed.1", "X-Tenant", "north")
	b.publish(t, "hopeless.1")
	b.publish(t, "malformed.1")
	for _, key := range []string{"healed", "hopeless", "malformed"} {
		assert.Zero(t, letterOf(t, b, key).Replays)
	}
	mended.Store(true)
	eventually(t, func() bool { return len(got.all()) == 1 })
	assert.Equal(t, []string{"healed replays 1 tenant north"}, got.all())
	eventually(t, func() bool { return letterOf(t, b, "hopeless").Replays == 1 }, "it comes back with its count")
	eventually(t, func() bool { return pending(t, b, "c") == 0 })
	letters, err := b.Letters(t.Context(), "c")
	require.NoError(t, err)
	assert.Len(t, letters, 2, "hopeless and malformed; healed has left")
	assert.Equal(t, letterOf(t, b, "hopeless").Headers["Nats-Msg-Id"], "hopeless.1")
	assert.EqualValues(t, 2, servicetest.Metric(t, i.host, "dlq_redriven_total"))
}

// TestReplayLoops: under D15 a message that cannot be handled goes round and
// round, and nobody can tell where it came from.
func TestReplayLoops(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.ReplayLoops}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			var got journal
			i := start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c", Ordered: true}, poisoned(&got, Permanent(errPoison)))
			}, defects...)
			b.publish(t, "bad.1", "X-Tenant", "north")
			cycles := func() float64 { return servicetest.Metric(t, i.host, "dlq_messages_total") }
			if len(defects) > 0 {
				eventually(t, func() bool { return cycles() > 2 })
				eventually(t, func() bool {
					letters, err := b.Letters(t.Context(), "c")
					return err == nil && len(letters) == 1 && letters[0].Headers["X-Tenant"] == "" && letters[0].Replays == 0
				})
				return
			}
			l := letterOf(t, b, "bad")
			require.NoError(t, b.Replay(t.Context(), l.Seq)) // by hand
			eventually(t, func() bool { return letterOf(t, b, "bad").Replays == 1 })
			assert.Equal(t, "north", letterOf(t, b, "bad").Headers["X-Tenant"])
			assert.Equal(t, l.FirstSeen, letterOf(t, b, "bad").FirstSeen)
			eventually(t, func() bool { return cycles() == 2 })
		})
	}
}

// TestReplayAll: each letter that is there is replayed once, though those of
// before die again and come back meanwhile; one that the stream refuses is told.
func TestReplayAll(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	const n = 20
	for i := range n {
		size := 2
		if i == n/2 {
			size = maxEvent
		}
		d := &delivery{stream: OrdersStream, Message: Message{Subject: "orders.placed", Seq: uint64(10*n + i), Data: make([]byte, size)}}
		_, err := b.JetStream.PublishMsg(t.Context(), letter(d, "c", Permanent(errPoison)))
		require.NoError(t, err)
	}
	i := start(t, url, func(h *service.Host, b *Bus) {
		b.times.redeliver = time.Millisecond
		b.Consume(h, ConsumerOptions{Name: "c"}, func(context.Context, Message) error { return Permanent(errPoison) })
	})
	var replayed, failed []uint64
	require.NoError(t, b.ReplayAll(t.Context(), func(seq uint64, err error) {
		if err != nil {
			assert.ErrorContains(t, err, "replay dead letter")
			failed = append(failed, seq)
			return
		}
		replayed = append(replayed, seq)
		eventually(t, func() bool { return servicetest.Metric(t, i.host, "dlq_messages_total") >= float64(len(replayed)) }, "it comes back")
	}))
	assert.Equal(t, []uint64{n/2 + 1}, failed)
	assert.Len(t, replayed, n-1)
	assert.IsIncreasing(t, replayed)
	letters, err := b.Letters(t.Context(), "c")
	require.NoError(t, err)
	assert.Len(t, letters, n)
	assert.Equal(t, 1, letters[n-1].Replays)
}

// TestReplayIsForOneConsumer: the others have had the message.
func TestReplayIsForOneConsumer(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	var mails, shipments journal
	i := start(t, url, func(h *service.Host, b *Bus) {
		b.Consume(h, ConsumerOptions{Name: "mails"}, poisoned(&mails, Permanent(errPoison)))
		b.Consume(h, ConsumerOptions{Name: "shipments"}, func(_ context.Context, m Message) error { shipments.add(m.Key()); return nil })
	})
	b.publish(t, "bad.1")
	l := letterOf(t, b, "bad")
	require.NoError(t, b.Replay(t.Context(), l.Seq))
	eventually(t, func() bool { return len(mails.all()) == 2*maxDeliveries })
	eventually(t, func() bool { return pending(t, b, "shipments") == 0 && pending(t, b, "mails") == 0 })
	assert.Equal(t, []string{"bad"}, shipments.all())
	assert.Zero(t, servicetest.Metric(t, i.host, "dlq_redriven_total"))

	require.ErrorIs(t, b.Replay(t.Context(), l.Seq), ErrNoLetter, "it has left")
	require.ErrorIs(t, b.Replay(t.Context(), 9999), ErrNoLetter)
}

// TestLetterThatCannotBeReplayed: the stream refuses it, and those behind it do
// not wait.
func TestLetterThatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	for n, size := range []int{maxEvent, 2} {
		d := &delivery{stream: OrdersStream, Message: Message{Subject: "orders.placed", Seq: uint64(n + 1), Data: make([]byte, size)}}
		_, err := b.JetStream.PublishMsg(t.Context(), letter(d, "c", errPoison))
		require.NoError(t, err)
	}
	var got journal
	start(t, url, func(h *service.Host, b *Bus) {
		b.Consume(h, ConsumerOptions{Name: "c"}, func(_ context.Context, m Message) error { got.add(fmt.Sprint(len(m.Data))); return nil })
	})
	eventually(t, func() bool { return got.count("2") == 1 })
	letters, err := b.Letters(t.Context(), "c")
	require.NoError(t, err)
	assert.Len(t, letters, 1, "it stays where people look")
}
