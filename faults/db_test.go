package faults

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults/pgtest"
)

// postgres is a real server, and the target that leads to it.
type postgres struct {
	memLink
	addr    string
	sources []netip.AddrPort
}

func (p *postgres) DSN() (string, error) { return pgtest.DSN(p.addr), nil }

func (p *postgres) Sources(context.Context) ([]netip.AddrPort, error) { return p.sources, nil }

func (p *postgres) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(p.addr))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func startPostgres(t *testing.T) (*postgres, *pgx.Conn) {
	t.Helper()
	p := &postgres{addr: pgtest.Start(t)}
	conn := p.connect(t)
	_, err := conn.Exec(t.Context(), `CREATE TABLE orders (n int); INSERT INTO orders VALUES (1)`)
	require.NoError(t, err)
	return p, conn
}

func TestDBKillConnections(t *testing.T) {
	p, other := startPostgres(t)
	first, second := p.connect(t), p.connect(t)
	for _, c := range []*pgx.Conn{first, second} {
		p.sources = append(p.sources, netip.MustParseAddrPort(c.PgConn().Conn().LocalAddr().String()))
	}
	_, err := first.Exec(t.Context(), `BEGIN; INSERT INTO orders VALUES (2)`)
	require.NoError(t, err)

	k, f := newFault(t, "db-kill-connections", nil)
	x := Injection{ID: "cut", Target: p}
	undo, err := f.Prepare(t.Context(), x)
	require.NoError(t, err)
	assert.Equal(t, Evidence{}, observe(t, f, x))
	require.NoError(t, first.Ping(t.Context()), "prepare only reads")

	require.NoError(t, f.Inject(t.Context(), x))
	assert.ErrorContains(t, first.Ping(t.Context()), "57P01")
	assert.ErrorContains(t, second.Ping(t.Context()), "57P01")
	var n int
	require.NoError(t, other.QueryRow(t.Context(), `SELECT count(*) FROM orders`).Scan(&n), "not of this edge")
	assert.Equal(t, 1, n, "the transaction was rolled back")
	e := observe(t, f, x)
	assert.False(t, e.Active, "done")
	assert.Equal(t, uint64(2), e.Receipt.Hits)
	assert.Len(t, e.Receipt.Items, 2)
	require.NoError(t, p.connect(t).Ping(t.Context()), "new ones work")
	require.NoError(t, k.Revert(t.Context(), x, undo))
}

// Which connections are ended follows the order in which they came and the seed.
func TestDBKillChosenConnections(t *testing.T) {
	chosen := func(params map[string]any, seed uint64) (out []uint64) {
		_, f := newFault(t, "db-kill-connections", params)
		for n := uint64(1); n <= 8; n++ {
			if f.(*killConnections).chosen(Injection{Target: &postgres{}, Seed: seed}, n) {
				out = append(out, n)
			}
		}
		return out
	}
	assert.Equal(t, []uint64{1, 2}, chosen(map[string]any{"first": 2}, 1))
	assert.Equal(t, []uint64{3, 6}, chosen(map[string]any{"every": 3}, 1))
	assert.Equal(t, []uint64{7, 8}, chosen(map[string]any{"from": 7}, 1))
	half := map[string]any{"probability": 0.5}
	assert.Equal(t, chosen(half, 1), chosen(half, 1))
	assert.NotEqual(t, chosen(half, 1), chosen(half, 2))
	_, f := newFault(t, "db-kill-connections", map[string]any{"first": 1})
	assert.Equal(t, "sessions of the edge ended by the server: the first connection", f.Describe())

	p, _ := startPostgres(t)
	old, young := p.connect(t), p.connect(t)
	for _, c := range []*pgx.Conn{old, young} {
		p.sources = append(p.sources, netip.MustParseAddrPort(c.PgConn().Conn().LocalAddr().String()))
	}
	require.NoError(t, f.Inject(t.Context(), Injection{Target: p}))
	assert.ErrorContains(t, old.Ping(t.Context()), "57P01")
	assert.NoError(t, young.Ping(t.Context()))
	assert.Equal(t, uint64(1), observe(t, f, Injection{Target: p}).Receipt.Hits)
}

func TestDBLock(t *testing.T) {
	p, conn := startPostgres(t)
	query := func(sql string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := conn.Exec(ctx, `SET lock_timeout = 100`)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, sql)
		return err
	}
	for _, c := range []struct {
		name   string
		params map[string]any
		says   string
		sql    string
	}{
		{"table", map[string]any{"table": "public.orders"}, "table public.orders locked ACCESS EXCLUSIVE", `SELECT * FROM orders`},
		{"advisory", map[string]any{"advisory": 42}, "advisory lock 42 held", `SELECT pg_advisory_xact_lock(42)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := Injection{ID: "lock", Target: p, Owner: "run-1", Lease: time.Minute}
			k, f := newFault(t, "db-lock", c.params)
			_, twin := newFault(t, "db-lock", c.params)
			assert.Equal(t, c.says, f.Describe())
			undo, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			_, err = twin.Prepare(t.Context(), x)
			require.NoError(t, err)
			require.NoError(t, query(c.sql), "prepare only reads")
			require.NoError(t, f.Inject(t.Context(), x))
			require.NoError(t, twin.Inject(t.Context(), x), "by another link: the lock is held already")
			assert.Equal(t, Evidence{}, observe(t, twin, x))
			for range 3 {
				assert.ErrorContains(t, query(c.sql), "55P03")
			}
			require.NoError(t, query(`SELECT 1`))
			e := observe(t, f, x)
			assert.True(t, e.Active)
			assert.Equal(t, uint64(3), e.Receipt.Hits)
			assert.Equal(t, "queries", e.Receipt.Unit)

			for range 2 { // idempotent, and all it needs is the undo
				require.NoError(t, k.Revert(t.Context(), Injection{ID: "lock", Target: p}, undo))
				require.NoError(t, query(c.sql))
			}
			require.Eventually(t, func() bool { return !observe(t, f, x).Active }, 5*time.Second, time.Millisecond)
			assert.Equal(t, uint64(3), observe(t, f, x).Receipt.Hits)
		})
	}
	t.Run("lease", func(t *testing.T) {
		x := Injection{ID: "lock", Target: p, Owner: "run-2", Lease: 200 * time.Millisecond}
		_, f := newFault(t, "db-lock", map[string]any{"table": "orders"})
		_, err := f.Prepare(t.Context(), x)
		require.NoError(t, err)
		// The session of a runner that falls silent: nobody watches it.
		silent, err := dialDatabase(t.Context(), p, "silent")
		require.NoError(t, err)
		t.Cleanup(func() { silent.Close(context.Background()) })
		held, err := f.(*dbLock).take(t.Context(), silent, x)
		require.NoError(t, err)
		require.True(t, held)
		require.Error(t, query(`SELECT * FROM orders`))
		require.Eventually(t, func() bool { return query(`SELECT * FROM orders`) == nil }, 10*time.Second, time.Millisecond, "the server ends it")
	})
	t.Run("a watched session outlives its lease", func(t *testing.T) {
		x := Injection{ID: "lock", Target: p, Owner: "run-3", Lease: 100 * time.Millisecond}
		k, f := newFault(t, "db-lock", map[string]any{"table": "orders"})
		undo, err := f.Prepare(t.Context(), x)
		require.NoError(t, err)
		require.NoError(t, f.Inject(t.Context(), x))
		for range 5 { // each waits for the whole of the lease
			require.Error(t, query(`SELECT * FROM orders`))
		}
		require.NoError(t, k.Revert(t.Context(), x, undo))
		<-f.(*dbLock).watched
	})
	t.Run("a table that is not there", func(t *testing.T) {
		_, f := newFault(t, "db-lock", map[string]any{"table": "nowhere"})
		_, err := f.Prepare(t.Context(), Injection{ID: "lock", Target: p})
		assert.EqualError(t, err, "the database behind a -> b has no table nowhere")
	})
}

// TestDBFaultsWithoutServer: a server that is gone took its sessions with it.
func TestDBFaultsWithoutServer(t *testing.T) {
	p := &postgres{addr: "127.0.0.1:1"}
	k, f := newFault(t, "db-lock", map[string]any{"advisory": 1})
	_, err := f.Prepare(t.Context(), Injection{Target: p})
	assert.ErrorContains(t, err, "connect to the database behind a -> b")
	require.NoError(t, k.Revert(t.Context(), Injection{Target: p}, json.RawMessage(`{"session":"squall-lock-1"}`)))
	_, f = newFault(t, "db-kill-connections", nil)
	_, err = f.Prepare(t.Context(), Injection{Target: &memLink{}})
	assert.EqualError(t, err, "a -> b is no link to a database")
}
