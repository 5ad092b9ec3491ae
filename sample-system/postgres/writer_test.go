package postgres

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
)

// writer writes rows, one after the other, through the store, as a service would.
type writer struct {
	t  *testing.T
	db *store.DB

	mu    sync.Mutex
	acked []int64
	last  time.Time
	gap   time.Duration // longest time without an acknowledged write
}

func (c *cluster) writer() *writer {
	h := service.Bare(servicetest.Config(c.t, map[string]string{"SHOP_DB": "postgres://" + c.pg[0] + ",postgres://" + c.pg[1]}))
	db, err := store.Open(h, "books", `CREATE TABLE IF NOT EXISTS rows (n BIGINT PRIMARY KEY)`)
	require.NoError(c.t, err)
	w := &writer{t: c.t, db: db, last: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	c.t.Cleanup(func() { cancel(); wg.Wait(); assert.NoError(c.t, h.Close()) })
	return w
}

func (w *writer) run(ctx context.Context) {
	for n := int64(1); ctx.Err() == nil; n++ {
		_, err := w.db.Exec(ctx, `INSERT INTO rows VALUES (?)`, n)
		if err == nil {
			w.mu.Lock()
			w.acked = append(w.acked, n)
			w.gap = max(w.gap, time.Since(w.last))
			w.last = time.Now()
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// settle waits for n more acknowledged writes, and returns the longest gap since
// the last call.
func (w *writer) settle(n int) time.Duration {
	w.t.Helper()
	w.mu.Lock()
	before := len(w.acked)
	w.mu.Unlock()
	require.Eventually(w.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked) >= before+n
	}, 20*time.Second, 5*time.Millisecond, "writes stand still")
	w.mu.Lock()
	defer w.mu.Unlock()
	gap := w.gap
	w.gap = 0
	return gap
}

// checkNothingLost compares what was acknowledged with what is there.
func (w *writer) checkNothingLost() {
	w.t.Helper()
	w.mu.Lock()
	acked := len(w.acked)
	want := make(map[int64]bool, acked)
	for _, n := range w.acked {
		want[n] = true
	}
	w.mu.Unlock()
	rows, err := w.db.Query(w.t.Context(), `SELECT n FROM rows`)
	require.NoError(w.t, err)
	defer rows.Close()
	for rows.Next() {
		var n int64
		require.NoError(w.t, rows.Scan(&n))
		delete(want, n)
	}
	require.NoError(w.t, rows.Err())
	assert.Empty(w.t, want, "of %d acknowledged writes these are lost", acked)
}
