package store_test

import (
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
	"squall/sample-system/postgres/server"
)

// link is a way to a server that can be made to hang.
type link struct {
	addr string

	mu   sync.RWMutex // locked while it hangs
	wg   sync.WaitGroup
	done chan struct{}
}

func newLink(t *testing.T, to string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k := &link{addr: l.Addr().String(), done: make(chan struct{})}
	k.wg.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			k.wg.Go(func() { <-k.done; a.Close(); b.Close() })
			k.wg.Go(func() { k.pass(a, b) })
			k.wg.Go(func() { k.pass(b, a) })
		}
	})
	t.Cleanup(func() { l.Close(); close(k.done); k.wg.Wait() })
	return k
}

func (k *link) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		k.mu.RLock()
		_, werr := to.Write(buf[:n])
		k.mu.RUnlock()
		if err != nil || werr != nil {
			return
		}
	}
}

func hostOn(t *testing.T, dsn string) *service.Host {
	h := service.Bare(servicetest.Config(t, map[string]string{"SHOP_DB": dsn}))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// place is the address of the tests' server, and the path of a database there.
func place(t *testing.T) (node, database string) {
	u, err := url.Parse(storetest.Postgres(t))
	require.NoError(t, err)
	return u.Host, u.Path
}

func TestRestart(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	s, err := storetest.Start() // its own, since it is going to be stopped
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	h := hostOn(t, s.DSN("postgres"))
	ctx, db := t.Context(), open(t, h)
	_, err = db.Exec(ctx, `INSERT INTO rows (text) VALUES ('a')`)
	require.NoError(t, err)

	s.Server.Stop(server.Immediate, time.Second)
	started := time.Now()
	_, err = db.Exec(ctx, `INSERT INTO rows (text) VALUES ('b')`)
	require.ErrorIs(t, err, store.ErrUnavailable)
	assert.Less(t, time.Since(started), time.Second)

	in, err := server.Find()
	require.NoError(t, err)
	require.NoError(t, s.Resume(in))
	require.Eventually(t, func() bool { return db.Ping(ctx) == nil }, 5*time.Second, 10*time.Millisecond)
	_, err = db.Exec(ctx, `INSERT INTO rows (text) VALUES ('c')`)
	require.NoError(t, err)
	assert.Equal(t, 2, count(t, db, `SELECT count(*) FROM rows`))
	require.Eventually(t, func() bool { return servicetest.Metric(t, h, "db_connections_in_use") == 0 }, 2*time.Second, time.Millisecond)
}

// TestHang: a database that accepts connections and never answers costs each
// call at most the time for one call, then the pool refuses, and all of it is
// over when the database goes on.
func TestHang(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	node, database := place(t)
	k := newLink(t, node)
	h := hostOn(t, "postgres://"+k.addr+database)
	ctx, db := t.Context(), open(t, h)

	k.mu.Lock()
	var wg sync.WaitGroup
	started := time.Now()
	for range 20 {
		wg.Go(func() {
			_, err := db.Exec(ctx, `INSERT INTO rows (text) VALUES ('a')`)
			var p service.Problem
			if assert.ErrorAs(t, err, &p) {
				assert.Equal(t, http.StatusServiceUnavailable, p.Status)
			}
		})
	}
	wg.Wait()
	took := time.Since(started)
	k.mu.Unlock()
	assert.Less(t, took, 3*time.Second)

	require.Eventually(t, func() bool { return db.Ping(ctx) == nil }, 5*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return servicetest.Metric(t, h, "db_connections_in_use") == 0 }, 2*time.Second, time.Millisecond)
}

// TestHungNodeHoldsNobodyUp: of two nodes the first does not answer.
func TestHungNodeHoldsNobodyUp(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	node, database := place(t)
	hung := newLink(t, node)
	hung.mu.Lock()
	defer hung.mu.Unlock()
	started := time.Now()
	open(t, hostOn(t, "postgres://"+hung.addr+",postgres://"+node+database))
	assert.Less(t, time.Since(started), time.Second)
}
