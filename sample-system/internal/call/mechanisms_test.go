package call_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

const poolSize = 128

// TestPoolIsBounded: what finds no place fails soon and was not sent.
func TestPoolIsBounded(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, poolSize)
	c := serve(t, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release })
	h, client := client(t, call.Static(c.base()))
	var wg sync.WaitGroup
	for range poolSize {
		wg.Go(func() { assert.NoError(t, client.Get(t.Context(), "/x", nil)) })
	}
	for range poolSize {
		<-entered
	}
	assert.InDelta(t, poolSize, servicetest.Metric(t, h, "http_client_connections_in_use"), 0)
	started := time.Now()
	err := client.Get(t.Context(), "/x", nil)
	require.ErrorIs(t, err, call.ErrExhausted)
	assert.True(t, call.NotSent(err))
	assert.Less(t, time.Since(started), time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.Get(ctx, "/x", nil), context.Canceled)
	close(release)
	wg.Wait()
	assert.NoError(t, client.Get(t.Context(), "/x", nil))
	assert.InDelta(t, 0, servicetest.Metric(t, h, "http_client_connections_in_use"), 0)
}

// TestPoolIsGivenBack on every path: after 200 errored calls of all kinds nothing
// is in use. Under D25 the pool is exhausted, and stays so when the callee heals.
func TestPoolIsGivenBack(t *testing.T) {
	for _, tt := range []struct {
		defects []string
		inUse   float64
		healed  bool
	}{{nil, 0, true}, {[]string{defect.PoolLeak}, poolSize, false}} {
		var broken atomic.Bool
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !broken.Load():
			case r.URL.Path == "/500":
				w.WriteHeader(http.StatusInternalServerError)
			case r.URL.Path == "/cut":
				raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")(w, r)
			case r.URL.Path == "/hang":
				<-r.Context().Done()
			}
		})
		h, client := client(t, call.Static(c.base()), tt.defects...)
		require.NoError(t, client.Get(t.Context(), "/ok", nil))
		broken.Store(true)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 50 {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					_ = client.Get(ctx, []string{"/500", "/cut", "/hang"}[i%3], nil)
					cancel()
				}
			})
		}
		wg.Wait()
		broken.Store(false)
		assert.InDelta(t, tt.inUse, servicetest.Metric(t, h, "http_client_connections_in_use"), 0, "%v", tt.defects)
		err := client.Get(t.Context(), "/ok", nil)
		assert.Equal(t, tt.healed, err == nil, "%v: %v", tt.defects, err)
	}
}

// TestKeptConnectionDies after the callee has executed the call, before the
// answer: the client says that the outcome is unknown. Under D33 it repeats the
// command, without its key.
func TestKeptConnectionDies(t *testing.T) {
	for _, tt := range []struct {
		defects []string
		keys    []string // of the commands that arrived
		lost    bool
	}{
		{nil, []string{"a", "b"}, true},
		{[]string{defect.StaleConnectionRetry}, []string{"a", "b", ""}, false},
	} {
		arrived := make(chan string, 5)
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			key := r.Header.Get(service.IdempotencyHeader)
			if arrived <- key; key == "b" {
				hangUp(t, w)
			}
		})
		h, client := client(t, call.Static(c.base()), tt.defects...)
		require.NoError(t, client.Post(t.Context(), "/charges", "a", 1, nil))
		err := client.Post(t.Context(), "/charges", "b", 1, nil)
		var lost *call.LostError
		if tt.lost {
			require.ErrorAs(t, err, &lost)
			assert.False(t, call.NotSent(err))
		} else {
			require.NoError(t, err)
		}
		for _, want := range tt.keys {
			assert.Equal(t, want, <-arrived)
		}
		assert.Empty(t, arrived)
		assert.InDelta(t, 1, servicetest.Metric(t, h, "http_client_stale_connections_total"), 0)
	}
}

// TestFreshConnectionDies: that is no matter of kept connections.
func TestFreshConnectionDies(t *testing.T) {
	var calls atomic.Int64
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { calls.Add(1); hangUp(t, w) })
	h, client := client(t, call.Static(c.base()), defect.StaleConnectionRetry)
	require.Error(t, client.Post(t.Context(), "/charges", "a", 1, nil))
	assert.EqualValues(t, 1, calls.Load())
	assert.InDelta(t, 0, servicetest.Metric(t, h, "http_client_stale_connections_total"), 0)
}

// hangUp resets a connection instead of answering.
func hangUp(t *testing.T, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if !assert.NoError(t, err) {
		return
	}
	assert.NoError(t, conn.(*net.TCPConn).SetLinger(0))
	conn.Close()
}

// TestNoHerdOnRecovery: many callers wait for a callee that is restarted. It sees
// at most two connections per caller (net/http begins one for who then gets one
// that has become free), and in the outage hardly any is tried; under D23 there
// is one for each call, and the outage is full of them.
func TestNoHerdOnRecovery(t *testing.T) {
	const callers, calls = 50, 20
	for _, tt := range []struct {
		defects          []string
		outage, recovery func(t *testing.T, n int64)
	}{
		{nil, func(t *testing.T, n int64) { assert.LessOrEqual(t, n, int64(2*callers)) }, func(t *testing.T, n int64) { assert.LessOrEqual(t, n, int64(2*callers)) }},
		{
			[]string{defect.ThunderingHerd}, func(t *testing.T, n int64) { assert.GreaterOrEqual(t, n, int64(20*callers)) },
			func(t *testing.T, n int64) { assert.GreaterOrEqual(t, n, int64(callers*calls)) },
		},
	} {
		c := serve(t, func(http.ResponseWriter, *http.Request) {})
		h, client := client(t, call.Static(c.base()), tt.defects...)
		dials := func() int64 { return int64(servicetest.Metric(t, h, "http_client_dials_total")) }
		require.NoError(t, client.Get(t.Context(), "/x", nil))
		c.stop()
		before := dials()
		var failed atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for done := 0; done < calls && t.Context().Err() == nil; {
					if client.Get(t.Context(), "/x", nil) == nil {
						done++
						continue
					}
					failed.Add(1)
					pause(t.Context(), 5*time.Millisecond)
				}
			})
		}
		require.Eventually(t, func() bool { return failed.Load() >= 20*callers }, 10*time.Second, time.Millisecond)
		tt.outage(t, dials()-before)
		c.accepted.Store(0)
		c.start()
		wg.Wait()
		tt.recovery(t, c.accepted.Load())
	}
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// TestBlipIsNotAmplified: one connection that is reset at its first request has
// nobody else fail.
func TestBlipIsNotAmplified(t *testing.T) {
	var calls atomic.Int64
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			hangUp(t, w)
		}
	})
	_, client := client(t, call.Static(c.base()))
	require.Error(t, client.Get(t.Context(), "/x", nil))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { assert.NoError(t, client.Get(t.Context(), "/x", nil)) })
	}
	wg.Wait()
}

// TestProxyWithNobodyBehind: a way that accepts and then resets is as good as
// one that refuses.
func TestProxyWithNobodyBehind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	h, client := client(t, call.Static("http://"+l.Addr().String()))
	for range 100 {
		require.Error(t, client.Get(t.Context(), "/x", nil))
	}
	assert.LessOrEqual(t, servicetest.Metric(t, h, "http_client_dials_total"), 5.0)
}
