package leader

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
	"squall/sample-system/internal/servicetest"
)

// mute is a bucket that does not answer the first renewal; executed says whether
// it was the answer that was lost, or the renewal.
type mute struct {
	jetstream.KeyValue
	executed bool
	asked    chan struct{} // closed then
	once     sync.Once
}

func (m *mute) Update(ctx context.Context, key string, value []byte, revision uint64) (n uint64, err error) {
	first := false
	m.once.Do(func() { first = true })
	if !first || m.executed {
		n, err = m.KeyValue.Update(ctx, key, value, revision)
	}
	if first {
		close(m.asked)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return n, err
}

// candidateAt runs a candidate at a mute bucket until it leads; stop waits for its
// orderly end.
func candidateAt(t *testing.T, executed bool) (e *Election, m *mute, stop func()) {
	b, err := bus.Dial(bustest.Start(t), "test", nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	kv, err := b.Bucket(t.Context(), bucket)
	require.NoError(t, err)
	m = &mute{KeyValue: kv, executed: executed, asked: make(chan struct{})}
	e = &Election{h: servicetest.Host(t), bus: b, name: "relay", now: time.Now, kv: m}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, e.run(ctx)) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	require.Eventually(t, func() bool { _, leading := e.Term(); return leading }, within, tick)
	return e, m, stop
}

// TestLostRenewal: a renewal without an answer is repeated before the lease ends,
// so that its leader goes on.
func TestLostRenewal(t *testing.T) {
	t.Parallel()
	for name, executed := range map[string]bool{"renewal lost": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _, _ := candidateAt(t, executed)
			assert.Never(t, func() bool { _, leading := e.Term(); return !leading }, leaseTime+renewal/2, tick, "it has stopped")
		})
	}
}

// TestResignDuringRenewal: a leader that is stopped while the answer to a renewal
// is on its way still gives up its lease at once.
func TestResignDuringRenewal(t *testing.T) {
	t.Parallel()
	_, m, stop := candidateAt(t, true)
	<-m.asked
	stop()
	_, err := m.KeyValue.Get(t.Context(), "relay")
	assert.ErrorIs(t, err, jetstream.ErrKeyNotFound)
}
