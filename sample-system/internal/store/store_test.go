package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const schema = `
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (id {{serial}}, text TEXT NOT NULL);`

func open(t *testing.T, h *service.Host) *store.DB {
	t.Helper()
	db, err := store.Open(h, "books", schema)
	require.NoError(t, err)
	return db
}

func count(t *testing.T, db *store.DB, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// second is another process' view of the database of h: connections of its own.
func second(t *testing.T, h *service.Host) *store.DB {
	t.Helper()
	other := service.Bare(h.Config)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return open(t, other)
}

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx, db := t.Context(), open(t, h)
		second(t, h) // the schema is there already

		for _, text := range []string{"a", "b?'", "c"} {
			n, err := db.Exec(ctx, `INSERT INTO rows (text) VALUES (?)`, text)
			require.NoError(t, err)
			assert.EqualValues(t, 1, n)
		}
		rows, err := db.Query(ctx, `SELECT id, text FROM rows WHERE text <> '?' AND id >= ? ORDER BY id`, int64(2))
		require.NoError(t, err)
		var got []string
		for rows.Next() {
			var id int64
			var text string
			require.NoError(t, rows.Scan(&id, &text))
			got = append(got, fmt.Sprint(id, text))
		}
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Err())
		assert.Equal(t, []string{"2b?'", "3c"}, got)

		_, err = db.Exec(ctx, `DELETE FROM rows WHERE id = ?`, int64(3))
		require.NoError(t, err)
		_, err = db.Exec(ctx, `INSERT INTO rows (text) VALUES ('d')`)
		require.NoError(t, err)
		assert.Equal(t, 4, count(t, db, `SELECT max(id) FROM rows`), "numbers are not used again")

		_, err = db.Exec(ctx, `INSERT INTO counters VALUES ('a', 1)`)
		require.NoError(t, err)
		_, err = db.Exec(ctx, `INSERT INTO counters VALUES ('a', 1)`)
		assert.True(t, db.IsDuplicate(err), "%v", err)
		assert.False(t, db.IsDuplicate(errors.New("other")))
		assert.InDelta(t, 3, db.Count(`SELECT count(*) FROM rows`)(), 0)
		assert.InDelta(t, -1, db.Count(`SELECT nonsense`)(), 0)
		require.NoError(t, db.Ping(ctx))
	})
}

// TestInstancesStartTogether: the schema is applied by all of them at once.
func TestInstancesStartTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		var wg sync.WaitGroup
		for range 4 {
			other := service.Bare(h.Config)
			t.Cleanup(func() { require.NoError(t, other.Close()) })
			wg.Go(func() {
				_, err := store.Open(other, "books", schema)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
	})
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db := open(t, h)
		sorry := errors.New("changed my mind")
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO rows (text) VALUES ('x')`)
			return errors.Join(err, sorry)
		})
		require.ErrorIs(t, err, sorry)
		assert.Zero(t, count(t, db, `SELECT count(*) FROM rows`))
		require.Eventually(t, func() bool { return servicetest.Metric(t, h, "db_connections_in_use") == 0 }, 2*time.Second, time.Millisecond)
	})
}

// TestConflictsAreRepeated: two processes add to one row; no increment is lost
// and nobody sees an error. The first two are made to meet for certain.
func TestConflictsAreRepeated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx := t.Context()
		dbs := []*store.DB{open(t, h), second(t, h)}
		_, err := dbs[0].Exec(ctx, `INSERT INTO counters VALUES ('a', 0)`)
		require.NoError(t, err)

		add := func(db *store.DB) error {
			return db.Tx(ctx, func(tx *store.Tx) error {
				var n int64
				if err := tx.QueryRow(ctx, `SELECT n FROM counters WHERE name = 'a'`).Scan(&n); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `UPDATE counters SET n = ? WHERE name = 'a'`, n+1)
				return err
			})
		}
		const each = 25
		var wg sync.WaitGroup
		for _, db := range dbs {
			wg.Go(func() {
				for range each {
					assert.NoError(t, add(db))
				}
			})
		}
		wg.Wait()
		assert.Equal(t, len(dbs)*each, count(t, dbs[0], `SELECT n FROM counters`))
	})
}

// TestHotRow: many want the same row, in two processes. Each gets its turn.
func TestHotRow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx := store.Begun(t.Context())
		dbs := []*store.DB{open(t, h), second(t, h)}
		const workers, each = 16, 5
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for range each {
					assert.NoError(t, dbs[i%2].Tx(ctx, func(tx *store.Tx) error {
						_, err := tx.Exec(ctx, `INSERT INTO counters VALUES ('hot', 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1`)
						return err
					}))
				}
			})
		}
		wg.Wait()
		assert.Equal(t, workers*each, count(t, dbs[0], `SELECT n FROM counters`))
	})
}

// TestPoolExhausted: result sets that nobody closes take all connections. Then
// calls are refused quickly, and served again as soon as they are closed.
func TestPoolExhausted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx, db := t.Context(), open(t, h)
		_, err := db.Exec(ctx, `INSERT INTO rows (text) VALUES ('a')`)
		require.NoError(t, err)
		var held []interface{ Close() error }
		for range 8 {
			rows, err := db.Query(ctx, `SELECT id FROM rows`)
			if err != nil {
				break
			}
			held = append(held, rows)
		}
		require.NotEmpty(t, held)
		assert.GreaterOrEqual(t, servicetest.Metric(t, h, "db_connections_in_use"), float64(len(held)))

		started := time.Now()
		_, err = db.Query(ctx, `SELECT id FROM rows`)
		took := time.Since(started)
		require.ErrorIs(t, err, store.ErrBusy)
		assert.InDelta(t, 0.2, took.Seconds(), 0.15)
		var p service.Problem
		require.ErrorAs(t, err, &p)
		assert.Equal(t, http.StatusServiceUnavailable, p.Status)
		var n int
		require.ErrorIs(t, db.QueryRow(ctx, `SELECT 1`).Scan(&n), store.ErrBusy)

		for _, rows := range held {
			require.NoError(t, rows.Close())
		}
		require.NoError(t, db.QueryRow(ctx, `SELECT 1`).Scan(&n))
		require.Eventually(t, func() bool { return servicetest.Metric(t, h, "db_connections_in_use") == 0 },
			2*time.Second, time.Millisecond, "a connection leaks")
	})
}

// TestErrorsDoNotLeakConnections: calls that fail give their connection back.
func TestErrorsDoNotLeakConnections(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx, db := t.Context(), open(t, h)
		var n int
		for range 30 {
			_, err := db.Query(ctx, `SELECT nonsense FROM nowhere`)
			require.Error(t, err)
			require.Error(t, db.QueryRow(ctx, `SELECT nonsense`).Scan(&n))
			_, err = db.Exec(ctx, `INSERT INTO nowhere VALUES (1)`)
			require.Error(t, err)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, db.QueryRow(gone, `SELECT 1`).Scan(&n), context.Canceled)
		require.NoError(t, db.Ping(ctx))
		require.Eventually(t, func() bool { return servicetest.Metric(t, h, "db_connections_in_use") == 0 }, 2*time.Second, time.Millisecond)
	})
}

// TestWriterElsewhere: another process holds the write lock of the file. What
// begins is refused soon, what has begun waits.
func TestWriterElsewhere(t *testing.T) {
	h := servicetest.Host(t)
	db, other := open(t, h), second(t, h)
	var begun chan error
	err := other.Tx(t.Context(), func(*store.Tx) error {
		started := time.Now()
		_, err := db.Exec(t.Context(), `INSERT INTO rows (text) VALUES ('a')`)
		require.ErrorIs(t, err, store.ErrBusy)
		assert.InDelta(t, 0.2, time.Since(started).Seconds(), 0.15)

		begun = make(chan error, 1)
		go func() {
			_, err := db.Exec(store.Begun(t.Context()), `INSERT INTO rows (text) VALUES ('b')`)
			begun <- err
		}()
		require.Never(t, func() bool { return len(begun) > 0 }, 400*time.Millisecond, 100*time.Millisecond)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, <-begun)
}

// TestReadsAreNotRefused: a read between two transactions that have met. Were it
// to have a place in one order with them, there would be none.
func TestReadsAreNotRefused(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return // SQLite's readers never meet writers
	}
	h := service.Bare(servicetest.Config(t, map[string]string{"SHOP_DB": storetest.Postgres(t)}))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	ctx, db := t.Context(), open(t, h)
	_, err := db.Exec(ctx, `INSERT INTO counters (name, n) VALUES ('seen', 0), ('unseen', 0), ('lock', 0)`)
	require.NoError(t, err)
	change := func(tx *store.Tx, name string) error {
		_, err := tx.Exec(ctx, `UPDATE counters SET n = n + 1 WHERE name = ?`, name)
		return err
	}
	read := make(chan error, 1)
	require.NoError(t, db.Tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT n FROM counters WHERE name = 'unseen'`).Scan(&n); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7)`); err != nil { // holds up the read behind its snapshot
			return err
		}
		go func() {
			read <- db.QueryRow(ctx, `SELECT (SELECT n FROM counters WHERE name = held.name)
				FROM (SELECT CASE WHEN pg_advisory_xact_lock_shared(7) IS NULL THEN 'seen' ELSE 'seen' END AS name OFFSET 0) held`).Scan(&n)
		}()
		require.Eventually(t, func() bool {
			return count(t, db, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`) == 1
		}, 5*time.Second, time.Millisecond)
		if err := db.Tx(ctx, func(other *store.Tx) error { return change(other, "unseen") }); err != nil {
			return err
		}
		return change(tx, "seen")
	}))
	require.NoError(t, <-read)
}
