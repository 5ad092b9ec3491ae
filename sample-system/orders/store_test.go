package orders

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

// TestTwoWriters: two instances that append to the same orders, in whatever
// order they come, leave logs without a gap, a fork or an event that its state
// does not allow; and each event belongs to exactly one of them.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		writers := []*log{parts(t, h, p, "orders-1").log, sibling(t, h, p, "orders-2").log}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		const orders, rounds = 5, 30
		var wg sync.WaitGroup
		written := make([]map[string]int, len(writers))
		for w, l := range writers {
			written[w] = map[string]int{}
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			wg.Go(func() {
				for range rounds {
					id := fmt.Sprintf("o-%d", random.IntN(orders))
					o, _, err := l.find(t.Context(), id)
					if !assert.NoError(t, err) {
						return
					}
					o.ID = id
					changes := randomChanges(random, o)
					if len(changes) == 0 {
						continue
					}
					next, err := l.append(t.Context(), o, changes...)
					if errors.Is(err, errConflict) {
						continue
					}
					if assert.NoError(t, err) {
						assert.Equal(t, o.Seq+int64(len(changes)), next.Seq)
						written[w][id] += len(changes)
					}
				}
			})
		}
		wg.Wait()
		for i := range orders {
			id := fmt.Sprintf("o-%d", i)
			assertLinear(t, writers[0], id, written[0][id]+written[1][id])
		}
	})
}

// randomChanges are one or two events that o allows.
func randomChanges(random *rand.Rand, o order) []change {
	all := []change{
		placedFact(), {kind: kindReserved}, {kind: kindCharged}, {kind: kindConfirmed}, {kind: kindRefunded}, {kind: kindReleased},
		{kindFailed, factData{Undo: stateReleasing, Code: 503, Reason: "r"}}, {kindWithdrawn, factData{Reason: withdrawn}},
	}
	var changes []change
	for range 1 + random.IntN(2) {
		for _, n := range random.Perm(len(all)) {
			if next, _, err := extend(o, all[n:n+1]); err == nil {
				o, changes = next, append(changes, all[n])
				break
			}
		}
	}
	return changes
}

func assertLinear(t *testing.T, l *log, id string, events int) {
	t.Helper()
	var facts []fact
	require.NoError(t, l.db.Tx(t.Context(), func(tx *store.Tx) error {
		all, err := readHistories(t.Context(), tx, "")
		for _, h := range all {
			if h.id == id {
				facts = h.facts
			}
		}
		return err
	}))
	assert.Len(t, facts, events, "each event was acknowledged to one writer")
	want, err := fold(id, facts)
	require.NoError(t, err)
	have, _, err := l.find(t.Context(), id)
	require.NoError(t, err)
	have.ID = id
	assert.Equal(t, want, have, "the table is the fold")
}

// TestStaleWriter: an instance that was paused finds its order taken over, and
// leaves the log as it is.
func TestStaleWriter(t *testing.T) {
	h := servicetest.Host(t)
	l := parts(t, h, newPartners(t), "orders-1").log
	stale, err := l.append(t.Context(), order{ID: "a"}, placedFact())
	require.NoError(t, err)
	_, err = l.append(t.Context(), stale, change{kindFailed, factData{Undo: stateReleasing, Code: 503}})
	require.NoError(t, err)

	_, err = l.append(t.Context(), stale, change{kind: kindReserved})
	require.ErrorIs(t, err, errConflict)
	_, err = l.append(t.Context(), order{ID: "a"}, placedFact())
	require.ErrorIs(t, err, errConflict)
	assert.Equal(t, stateReleasing, stateOf(t, l, "a"))
	assert.Equal(t, 2.0, servicetest.Metric(t, h, "order_conflicts_total"))
}

// TestRebuild: the table is folded anew from the events; only rows that were
// wrong differ.
func TestRebuild(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		l := parts(t, h, newPartners(t), "orders-1").log
		const n = rebuildBatch + 7
		for i := range n {
			_, err := l.append(t.Context(), order{ID: fmt.Sprintf("o-%03d", i)}, placedFact(), change{kind: kindReserved}, change{kind: kindCharged}, change{kind: kindConfirmed})
			require.NoError(t, err)
		}
		done, err := l.rebuild(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Rebuilt{Orders: n}, done, "the live table is the fold")

		before, _, err := l.find(t.Context(), "o-003")
		require.NoError(t, err)
		for _, harm := range []string{
			`UPDATE orders SET amount = 1 WHERE id = 'o-003'`, `UPDATE orders SET state = 'charging' WHERE id = 'o-100'`,
			`UPDATE orders SET lines = '?' WHERE id = 'o-101'`, `DELETE FROM orders WHERE id = 'o-206'`,
		} {
			_, err = l.db.Exec(t.Context(), harm)
			require.NoError(t, err)
		}
		done, err = l.rebuild(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Rebuilt{Orders: n, Differed: 4}, done)
		after, _, err := l.find(t.Context(), "o-003")
		require.NoError(t, err)
		assert.Equal(t, before, after)
		done, err = l.rebuild(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Rebuilt{Orders: n}, done)
	})
}
