package disk

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"squall/faults"
)

// A database in WAL mode maps its index into memory, shared by all who use it.
func TestSQLite(t *testing.T) {
	s := serve(t)
	open := func() *sql.DB {
		db, err := sql.Open("sqlite", "file:"+s.path("orders.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(5000)")
		require.NoError(t, err)
		return db
	}
	a, b := open(), open()
	_, err := a.Exec("create table x (n integer)")
	require.NoError(t, err)
	var all sync.WaitGroup
	for _, db := range []*sql.DB{a, b} {
		all.Go(func() {
			for i := range 50 {
				_, err := db.Exec("insert into x values (?)", i)
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	count := func(db *sql.DB) (n int) {
		require.NoError(t, db.QueryRow("select count(*) from x").Scan(&n))
		return n
	}
	assert.Equal(t, 100, count(a))
	require.FileExists(t, filepath.Join(s.backing, "orders.db-wal"))

	s.put(faults.DiskRule{Full: true})
	for range 100 { // what has been reserved before is used up first
		if _, err = a.Exec("insert into x select n from x"); err != nil {
			break
		}
	}
	require.ErrorContains(t, err, "full")
	was := count(b)
	assert.NotZero(t, s.drop().Hits)
	_, err = b.Exec("insert into x values (1)")
	require.NoError(t, err)
	assert.Equal(t, was+1, count(a))
	var verdict string
	require.NoError(t, a.QueryRow("pragma integrity_check").Scan(&verdict))
	assert.Equal(t, "ok", verdict)
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
}

func TestJetStream(t *testing.T) {
	s := serve(t)
	start := func() (*natsd.Server, *nats.Conn, jetstream.JetStream) {
		srv, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: s.path("nats"), SyncAlways: true, NoSigs: true})
		require.NoError(t, err)
		srv.Start()
		require.True(t, srv.ReadyForConnections(10*time.Second))
		nc, err := nats.Connect(srv.ClientURL())
		require.NoError(t, err)
		js, err := jetstream.New(nc)
		require.NoError(t, err)
		return srv, nc, js
	}
	srv, nc, js := start()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	require.NoError(t, err)
	publish := func(js jetstream.JetStream) error {
		_, err := js.Publish(t.Context(), "s.a", make([]byte, 1024))
		return err
	}
	for range 50 {
		require.NoError(t, publish(js))
	}
	s.put(faults.DiskRule{Delay: 20 * time.Millisecond})
	begun := time.Now()
	require.NoError(t, publish(js))
	assert.GreaterOrEqual(t, time.Since(begun), 20*time.Millisecond)
	assert.NotZero(t, s.drop().Hits)
	nc.Close()
	srv.Shutdown()
	srv.WaitForShutdown()

	srv, nc, js = start()
	stream, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	assert.EqualValues(t, 51, stream.CachedInfo().State.Msgs, "all of it is there after a restart")
	nc.Close()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// BenchmarkCost compares operations on a folder and on the same folder served
// by a disk process without a rule.
func BenchmarkCost(b *testing.B) {
	s := serve(b)
	for _, where := range []struct{ name, dir string }{{"plain", s.backing}, {"served", s.mount}} {
		page := make([]byte, 4096)
		run := func(name string, do func(f *os.File, i int) error) {
			b.Run(name+"/"+where.name, func(b *testing.B) {
				f, err := os.Create(filepath.Join(where.dir, "f"))
				require.NoError(b, err)
				defer f.Close()
				i := 0
				for b.Loop() {
					i++
					require.NoError(b, do(f, i))
				}
			})
		}
		run("write 4KiB", func(f *os.File, i int) error { _, err := f.WriteAt(page, int64(i%256)*4096); return err })
		run("write and fsync", func(f *os.File, i int) error {
			_, err := f.WriteAt(page, int64(i%256)*4096)
			if err == nil {
				err = f.Sync()
			}
			return err
		})
		run("read 4KiB", func(f *os.File, i int) error {
			if i == 1 {
				if _, err := f.WriteAt(make([]byte, 256*4096), 0); err != nil {
					return err
				}
			}
			_, err := f.ReadAt(page, int64(i%256)*4096)
			return err
		})
		run("create and remove", func(*os.File, int) error {
			name := filepath.Join(where.dir, "g")
			f, err := os.Create(name)
			if err != nil {
				return err
			}
			_ = f.Close()
			return os.Remove(name)
		})
		b.Run("sqlite insert/"+where.name, func(b *testing.B) {
			db, err := sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=journal_mode(wal)&_pragma=synchronous(full)", filepath.Join(where.dir, where.name+".db")))
			require.NoError(b, err)
			defer db.Close()
			_, err = db.Exec("create table if not exists x (n integer)")
			require.NoError(b, err)
			for b.Loop() {
				_, err := db.Exec("insert into x values (1)")
				require.NoError(b, err)
			}
		})
	}
}
