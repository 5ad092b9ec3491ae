package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/pgtest"
)

// pgRig is a PostgreSQL server behind a proxied edge.
type pgRig struct {
	*rig
	direct *pgx.Conn // past the proxy
}

func newPGRig(t *testing.T) *pgRig {
	t.Helper()
	addr := pgtest.Start(t)
	direct, err := pgx.Connect(t.Context(), pgtest.DSN(addr))
	require.NoError(t, err)
	t.Cleanup(func() { direct.Close(context.Background()) })
	_, err = direct.Exec(t.Context(), "CREATE TABLE rows (n int)")
	require.NoError(t, err)
	return &pgRig{newRig(t, ProtocolPostgres, addr, Options{}), direct}
}

func (r *pgRig) connect(sslmode string) *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.ctx, "postgres://"+pgtest.User+"@"+r.addr+"/postgres?sslmode="+sslmode)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (r *pgRig) rows() (n int) {
	require.NoError(r.t, r.direct.QueryRow(r.ctx, "SELECT count(*) FROM rows").Scan(&n))
	return n
}

// patient bounds a query that is to be held.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestPostgresHold(t *testing.T) {
	r := newPGRig(t)
	t.Run("without a stage", func(t *testing.T) {
		for _, mode := range []string{"disable", "prefer"} { // the server has no TLS
			conn := r.connect(mode)
			var n int
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::int", 42).Scan(&n))
			assert.Equal(t, 42, n)
			require.NoError(t, conn.Close(t.Context()))
		}
	})
	t.Run("every query", func(t *testing.T) {
		conn := r.connect("disable")
		r.put("hang", faults.Stage{Query: &faults.QueryRule{}})
		before := r.rows()
		late := make(chan error, 1)
		go func() {
			_, err := conn.Exec(t.Context(), "INSERT INTO rows VALUES (1)", pgx.QueryExecModeSimpleProtocol)
			late <- err
		}()
		eventually(t, func() bool { return r.rows() == before+1 }, "the server has it")
		r.connect("disable") // connections can still be made
		assert.Empty(t, late, "and nobody is told")
		st := r.status("hang")
		assert.Equal(t, uint64(1), st.Receipt.Hits)
		assert.Equal(t, "queries", st.Receipt.Unit)
		r.remove("hang")
		require.NoError(t, <-late, "the answer comes when the stage goes")
		require.NoError(t, conn.Ping(t.Context()))
	})
	t.Run("a caller that gives up", func(t *testing.T) {
		line := r.wire()
		conn := r.connect("disable")
		r.put("hang", faults.Stage{Query: &faults.QueryRule{}})
		before := r.rows()
		late := make(chan error, 1)
		go func() {
			_, err := conn.Exec(t.Context(), "INSERT INTO rows VALUES (1)", pgx.QueryExecModeSimpleProtocol)
			late <- err
		}()
		eventually(t, func() bool { return r.rows() == before+1 }, "committed all the same")
		require.NoError(t, conn.PgConn().Conn().Close())
		require.Error(t, <-late)
		e := line()
		assert.Equal(t, []Act{{"hang", 1, "hold"}}, e.Acts)
		e = line()
		assert.Equal(t, "timeout by hang", e.Error+" by "+e.Fault)
		r.remove("hang")
	})
	t.Run("commits only", func(t *testing.T) {
		conn := r.connect("disable")
		insert := func(ctx context.Context) error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO rows VALUES ($1)", 1)
			require.NoError(t, err)
			return tx.Commit(ctx)
		}
		require.NoError(t, insert(t.Context()))
		before := r.rows()
		r.put("hang", faults.Stage{Query: &faults.QueryRule{Statement: "COMMIT"}, Cap: 1})
		require.ErrorIs(t, insert(patient(t)), context.DeadlineExceeded)
		eventually(t, func() bool { return r.rows() == before+1 }, "it did commit")
		assert.Equal(t, uint64(1), r.status("hang").Receipt.Hits)
		conn = r.connect("disable")
		require.NoError(t, insert(t.Context()), "the cap is spent")
		r.remove("hang")
	})
	t.Run("prepared statements", func(t *testing.T) {
		conn := r.connect("disable")
		_, err := conn.Prepare(t.Context(), "add", "insert INTO rows VALUES ($1)")
		require.NoError(t, err)
		r.put("hang", faults.Stage{Query: &faults.QueryRule{Statement: "INSERT into"}})
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT $1::int", 1).Scan(&n), "another statement")
		before := r.rows()
		_, err = conn.Exec(patient(t), "add", 7)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		eventually(t, func() bool { return r.rows() == before+1 }, "it was executed")
		assert.Equal(t, uint64(1), r.status("hang").Receipt.Hits)
		r.remove("hang")
	})
	t.Run("queries that do not wait for one another", func(t *testing.T) {
		conn := r.connect("disable")
		r.put("hang", faults.Stage{Query: &faults.QueryRule{Statement: "SELECT 2"}})
		p := conn.PgConn().StartPipeline(t.Context())
		for _, sql := range []string{"SELECT 1", "SELECT 2", "SELECT 3"} {
			p.SendQueryParams(sql, nil, nil, nil, nil)
			require.NoError(t, p.Sync())
		}
		answer := func() string {
			got, err := p.GetResults()
			require.NoError(t, err)
			rows := got.(*pgconn.ResultReader).Read()
			require.NoError(t, rows.Err)
			_, err = p.GetResults() // of Sync
			require.NoError(t, err)
			return string(rows.Rows[0][0])
		}
		assert.Equal(t, "1", answer(), "what was asked before is answered")
		held := make(chan string)
		go func() { held <- answer() }()
		eventually(t, func() bool { return r.status("hang").Receipt.Hits == 1 }, "held")
		select {
		case <-held:
			assert.Fail(t, "answered")
		default:
		}
		r.remove("hang")
		assert.Equal(t, "2", <-held)
		assert.Equal(t, "3", answer())
		require.NoError(t, p.Close())
	})
	t.Run("bulk both ways", func(t *testing.T) {
		conn := r.connect("disable")
		before := r.rows()
		copied, err := conn.CopyFrom(t.Context(), pgx.Identifier{"rows"}, []string{"n"}, pgx.CopyFromSlice(50000, func(i int) ([]any, error) { return []any{i}, nil }))
		require.NoError(t, err)
		assert.Equal(t, int64(50000), copied)
		assert.Equal(t, before+50000, r.rows())
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM (SELECT n FROM rows) x").Scan(&n))
		rows, err := conn.Query(t.Context(), "SELECT n, repeat('x', 100) FROM rows")
		require.NoError(t, err)
		n = 0
		for rows.Next() {
			n++
		}
		require.NoError(t, rows.Err())
		assert.Equal(t, before+50000, n)
	})
}

func TestPGFrames(t *testing.T) {
	for in, want := range map[string]error{
		"\x00\x00\x00\x08\x04\xd2\x16\x2f": nil, // TLS?
		"\x00\x00\x00\x09\x00\x03\x00\x00": nil,
		"\x00\x00\x00\x09\x00\x02\x00\x00": errNotPG, // version 2
		"\x00\x00\x00\x07\x00\x03\x00\x00": errNotPG,
		"\x00\x00\x40\x00\x00\x03\x00\x00": errNotPG, // too long
		"\x16\x03":                         errNotPG, // TLS without asking
		"GET":                              errNotPG,
		"\x00\x00":                         errPGMore,
		"":                                 errPGMore,
	} {
		_, _, err := pgFirst([]byte(in))
		assert.ErrorIs(t, err, want, "%q", in)
	}
	for in, want := range map[string]error{
		"Z\x00\x00\x00\x05I":   nil,
		"1\x00\x00\x00\x04":    nil,
		"Z\x00\x00\x00\x03":    errNotPG,
		"Z\xff\x00\x00\x05":    errNotPG,
		"\x16\x03\x01\x00\x05": errNotPG,
		"Z\x00":                errPGMore,
	} {
		_, _, err := pgMessage([]byte(in))
		assert.ErrorIs(t, err, want, "%q", in)
	}
}

// FuzzPostgres: whatever comes in whatever pieces passes unchanged, and queries
// are counted as a library counts them.
func FuzzPostgres(f *testing.F) {
	start := "\x00\x00\x00\x09\x00\x03\x00\x00\x00"
	var all []byte
	for _, m := range []pgproto3.FrontendMessage{
		&pgproto3.Parse{Name: "s", Query: "select 1"}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{},
		&pgproto3.Query{String: "commit"}, &pgproto3.Terminate{},
	} {
		var err error
		all, err = m.Encode(all)
		require.NoError(f, err)
	}
	f.Add([]byte(start+string(all)), uint8(3))
	f.Add([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"+start+string(all)), uint8(0))
	f.Add([]byte("\x16\x03\x01"), uint8(1))
	f.Add([]byte(start+"Q\xff\xff\xff\xff"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		counts := map[uint64]bool{}
		for _, step := range []int{1 + int(step), len(in) + 1} {
			p := newPGConn(&conn{link: &link{}, done: make(chan struct{})})
			p.link.setting.Store(&setting{})
			var out bytes.Buffer
			err, broken := newPGLane(p, &inPieces{in, step}, &out, false).pump()
			require.ErrorIs(t, err, io.EOF)
			require.False(t, broken)
			require.Equal(t, string(in), out.String())
			counts[p.q.asked] = true
		}
		require.Len(t, counts, 1, fmt.Sprint("queries do not depend on the pieces: ", counts))
	})
}

// TestSources: the server knows the proxy's connections by what the proxy says of them.
func TestSources(t *testing.T) {
	r := newPGRig(t)
	none, err := r.client.Sources(t.Context(), "edge")
	require.NoError(t, err)
	assert.Empty(t, none)
	var want, got []string
	for range 3 {
		var port int
		require.NoError(t, r.connect("disable").QueryRow(t.Context(), "SELECT client_port FROM pg_stat_activity WHERE pid = pg_backend_pid()").Scan(&port))
		want = append(want, fmt.Sprint("127.0.0.1:", port))
	}
	all, err := r.client.Sources(t.Context(), "edge")
	require.NoError(t, err)
	for _, s := range all {
		got = append(got, s.String())
	}
	assert.ElementsMatch(t, want, got)
}
