package registry

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// mute is a registry that takes a number of entries, and then gives no answer.
type mute struct {
	jetstream.KeyValue
	answers int
	asked   chan struct{} // closed at the first question without an answer

	mu      sync.Mutex
	deleted []string
}

func (m *mute) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if m.answers--; m.answers >= 0 {
		return m.KeyValue.Put(ctx, key, value)
	}
	close(m.asked)
	<-ctx.Done()
	return 0, ctx.Err()
}

func (m *mute) Delete(_ context.Context, key string, _ ...jetstream.KVDeleteOpt) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted = append(m.deleted, key)
	return nil
}

// leaseWith is the lease of an instance of "test" that so far had to do with kv.
func leaseWith(t *testing.T, kv jetstream.KeyValue, b *bus.Bus) *lease {
	h := servicetest.StartHost(t, func(context.Context, *service.Host) error { return nil }, servicetest.Config(t, nil))
	l := &lease{h: h, bus: b, kv: kv, addr: h.Addr}
	l.left, l.leave = context.WithCancel(t.Context())
	t.Cleanup(l.leave)
	return l
}

// TestLeavesDuringRenewal: an instance that drains while a renewal is on its way,
// or after one that had no answer, leaves at once all the same.
func TestLeavesDuringRenewal(t *testing.T) {
	t.Parallel()
	for name, inFlight := range map[string]bool{"on its way": true, "failed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &mute{asked: make(chan struct{})}
			l := leaseWith(t, m, nil)
			var wg sync.WaitGroup
			wg.Go(func() { assert.Error(t, l.renew()) })
			<-m.asked
			if !inFlight {
				wg.Wait()
			}
			l.remove(t.Context())
			wg.Wait()
			assert.Equal(t, []string{"test.test"}, m.deleted)
		})
	}
}

// TestLostRenewal: a renewal without an answer, as in a change of the bus's
// leader, is repeated before the lease ends.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	b, err := bus.Dial(bustest.Start(t), "test", nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	kv, err := b.Bucket(t.Context(), bucket)
	require.NoError(t, err)
	m := &mute{KeyValue: kv, answers: 1, asked: make(chan struct{})}
	l := leaseWith(t, m, b)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, l.keep(ctx)) })
	defer wg.Wait()
	defer stop()
	<-m.asked
	first, err := kv.Get(t.Context(), "test.test")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		next, err := kv.Get(t.Context(), "test.test")
		return err == nil && next.Revision() > first.Revision() && next.Created().Sub(first.Created()) < leaseTime-answer/3
	}, leaseTime, 20*time.Millisecond)
}
