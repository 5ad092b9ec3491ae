package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

// TestStatementInUse: a statement may be run again while its rows are read.
func TestStatementInUse(t *testing.T) {
	h := servicetest.Host(t) // PostgreSQL has one result set per connection
	ctx, db := t.Context(), open(t, h)
	for _, text := range []string{"a", "b"} {
		_, err := db.Exec(ctx, `INSERT INTO rows (text) VALUES (?)`, text)
		require.NoError(t, err)
	}
	var got []string
	require.NoError(t, db.Tx(ctx, func(tx *store.Tx) error {
		const all = `SELECT text FROM rows WHERE id >= ? ORDER BY id`
		outer, err := tx.Query(ctx, all, 1)
		require.NoError(t, err)
		defer outer.Close()
		for outer.Next() {
			var a, b string
			require.NoError(t, outer.Scan(&a))
			require.NoError(t, tx.QueryRow(ctx, all, 2).Scan(&b))
			got = append(got, a+b)
		}
		return outer.Err()
	}))
	assert.Equal(t, []string{"ab", "bb"}, got)
}

// TestStatementsOutliveSchema: another process changes the schema, and a
// statement that was parsed before, with columns as they were, goes on.
func TestStatementsOutliveSchema(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx, db := t.Context(), open(t, h)
		for i := range 3 {
			if i == 2 {
				_, err := second(t, h).Exec(ctx, `ALTER TABLE rows ADD COLUMN more BIGINT NOT NULL DEFAULT 0`)
				require.NoError(t, err)
			}
			_, err := db.Exec(ctx, `INSERT INTO rows (text) VALUES (?)`, "a")
			require.NoError(t, err)
			assert.Equal(t, i+1, count(t, db, `SELECT count(*) FROM rows`))
		}
	})
}

// TestManyStatements: more than a connection keeps, again and again, one of
// which always fails.
func TestManyStatements(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		ctx, db := t.Context(), open(t, h)
		_, err := db.Exec(ctx, `INSERT INTO counters VALUES ('a', 1)`)
		require.NoError(t, err)
		for range 2 {
			for i := range 100 {
				assert.Equal(t, i, count(t, db, fmt.Sprintf(`SELECT n + %d FROM counters WHERE name = ?`, i-1), "a"))
				_, err := db.Exec(ctx, `INSERT INTO counters VALUES ('a', 1)`)
				assert.True(t, db.IsDuplicate(err), "%v", err)
			}
		}
	})
}

// BenchmarkStatements is the work of one small transaction.
func BenchmarkStatements(b *testing.B) {
	h := service.Bare(servicetest.Config(b, nil))
	defer h.Close()
	db, err := store.Open(h, "books", schema)
	require.NoError(b, err)
	ctx := b.Context()
	for b.Loop() {
		require.NoError(b, db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO counters VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1`)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE rows SET text = ? WHERE id = ? AND text <> ?`, "b", int64(1), "c")
			return err
		}))
	}
}
