package orders

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestPausedOwner: an instance stops in the middle of a saga; the other takes
// the order over and undoes it; the first comes back, gets nowhere, and tells
// its client what the other has decided.
func TestPausedOwner(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		paused := parts(t, h, p, "orders-1")
		heir := sibling(t, h, p, "orders-2")
		s, err := paused.log.append(t.Context(), order{ID: "a"}, placedFact())
		require.NoError(t, err)

		taken, err := heir.log.claim(t.Context(), 9)
		require.NoError(t, err)
		assert.Empty(t, taken, "it is leased")
		leaseEnds(t, heir.log)
		runUntil(t, heir.compensator.run, func() bool { return stateOf(t, heir.log, "a") == stateCancelled })

		s, err = paused.run(t.Context(), t.Context(), s)
		require.NoError(t, err)
		assert.Equal(t, "cancelled", s.answer().Status)
		assert.Equal(t, 503, s.Code)
		reservation, charge := p.effects("a")
		assert.Equal(t, [2]string{"undone", ""}, [2]string{reservation, charge}, "nothing was done by the one that came back")
	})
}

// TestClaimedOnce: two instances that look at the same time share the work.
func TestClaimedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		one, two := parts(t, h, p, "orders-1").log, sibling(t, h, p, "orders-2").log
		const n = 20
		for i := range n {
			_, err := one.append(t.Context(), order{ID: string(rune('a' + i))}, placedFact())
			require.NoError(t, err)
		}
		leaseEnds(t, one)
		claims := make(chan []order, 2)
		for _, l := range []*log{one, two} {
			go func() {
				var all []order
				for {
					taken, err := l.claim(context.Background(), 3)
					if !assert.NoError(t, err) || len(taken) == 0 {
						break
					}
					all = append(all, taken...)
				}
				claims <- all
			}()
		}
		seen := map[string]bool{}
		for range 2 {
			for _, o := range <-claims {
				assert.False(t, seen[o.ID], "%s was claimed twice", o.ID)
				seen[o.ID] = true
			}
		}
		assert.Len(t, seen, n)
	})
}

// TestReclaim: an instance that comes back does not wait for its own leases.
func TestReclaim(t *testing.T) {
	l := parts(t, servicetest.Host(t), newPartners(t), "orders-1").log
	_, err := l.append(t.Context(), order{ID: "a"}, placedFact())
	require.NoError(t, err)
	require.NoError(t, l.reclaim(t.Context()))
	taken, err := l.claim(t.Context(), 9)
	require.NoError(t, err)
	assert.Len(t, taken, 1)
}

func TestAwaitEnds(t *testing.T) {
	l := parts(t, servicetest.Host(t), newPartners(t), "orders-1").log
	_, err := l.append(t.Context(), order{ID: "a"}, placedFact())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*awaitInterval)
	defer cancel()
	started := time.Now()
	_, err = l.await(ctx, "a")
	require.ErrorIs(t, err, errPending)
	assert.Less(t, time.Since(started), time.Second)
}
