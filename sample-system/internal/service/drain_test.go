package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// fleet is two instances that clients find in a list, which an instance leaves
// when it drains.
type fleet struct {
	t       *testing.T
	defects []string
	late    time.Duration // until clients notice that one left

	mu    sync.Mutex
	addrs []string
	stops []func()
}

func (f *fleet) start() {
	var h *service.Host
	h, stop := servicetest.Run(f.t, func(_ context.Context, host *service.Host) error {
		host.Handle("POST /work", func(w http.ResponseWriter, r *http.Request) error {
			select { // work that takes a moment
			case <-time.After(3 * time.Millisecond):
				return service.WriteJSON(w, 200, "done")
			case <-r.Context().Done():
				return r.Context().Err()
			}
		})
		host.OnDrain(func(context.Context) { time.AfterFunc(f.late, func() { f.leave(h.Addr()) }) })
		return nil
	}, servicetest.Config(f.t, nil, f.defects...))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs = append(f.addrs, h.Addr())
	f.stops = append(f.stops, func() { stop(); f.leave(h.Addr()) })
}

func (f *fleet) leave(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs = slices.DeleteFunc(f.addrs, func(a string) bool { return a == addr })
}

func (f *fleet) pick(n int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addrs[n%len(f.addrs)]
}

// TestDrainRollingRestart restarts all instances in turn, under load: no request
// fails; with D38 some do.
func TestDrainRollingRestart(t *testing.T) {
	for _, defects := range [][]string{nil, {"D38"}} {
		t.Run(strings.Join(defects, ""), func(t *testing.T) {
			rollingRestart(t, &fleet{t: t, defects: defects})
		})
	}
}

// TestDrainUntilClientsNotice: on an overloaded machine clients learn late that
// an instance has left.
func TestDrainUntilClientsNotice(t *testing.T) {
	t.Parallel()
	rollingRestart(t, &fleet{t: t, late: 600 * time.Millisecond})
}

// rollingRestart counts what fails of the load meanwhile: something under a
// defect, else nothing.
func rollingRestart(t *testing.T, f *fleet) {
	f.start()
	f.start()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var done, failed atomic.Int64
	for first := range 8 { // each instance has some at any time
		clients.Go(func() {
			var client http.Client
			client.Transport = &http.Transport{}
			defer client.CloseIdleConnections()
			for n := first; ctx.Err() == nil; n++ {
				if err := post(&client, "http://"+f.pick(n)+"/work"); err != nil {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	for n := 0; n < 2 || f.defects != nil && failed.Load() == 0 && n < 20; n++ { // whether one is hit is luck
		before := done.Load()
		require.Eventually(t, func() bool { return done.Load() > before+100 }, 10*time.Second, time.Millisecond)
		f.start()
		f.stops[0]()
		f.stops = f.stops[1:]
	}
	cancel()
	clients.Wait()
	for _, stop := range f.stops {
		stop()
	}
	if f.defects == nil {
		assert.Zero(t, failed.Load(), "of %d", done.Load())
	} else {
		assert.Positive(t, failed.Load(), "of %d", done.Load())
	}
}

func post(client *http.Client, url string) error {
	resp, err := client.Post(url, "application/json", http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(err, errors.New(resp.Status))
	}
	return nil
}

// TestDrain: a request in flight when the service is told to stop is answered,
// and so are those that come before clients have noticed; tasks end last.
func TestDrain(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	left := make(chan struct{})
	var answered, taskEnded atomic.Bool
	h, stop := servicetest.Run(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /slow", func(w http.ResponseWriter, _ *http.Request) error {
			close(entered)
			<-release
			answered.Store(true)
			return service.WriteJSON(w, 200, "done")
		})
		h.Handle("GET /quick", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, "done") })
		h.Go("task", func(ctx context.Context) error { <-ctx.Done(); taskEnded.Store(answered.Load()); return nil })
		h.OnDrain(func(context.Context) { close(left) })
		return nil
	}, servicetest.Config(t, nil))
	url := "http://" + h.Addr()
	var wg sync.WaitGroup
	wg.Go(func() {
		code, _ := servicetest.Get(t, url+"/slow")
		assert.Equal(t, 200, code)
	})
	<-entered
	started := time.Now()
	wg.Go(stop)
	<-left
	code, body := servicetest.Get(t, url+"/readyz")
	assert.Equal(t, 503, code)
	assert.Contains(t, body, "draining")
	resp, err := http.Get(url + "/quick")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 200, resp.StatusCode)
	assert.True(t, resp.Close, "the client should come back on another connection")
	close(release)
	wg.Wait()
	assert.True(t, taskEnded.Load(), "tasks end after requests")
	assert.Less(t, time.Since(started), 3*time.Second)
}

// TestDrainUnusedConnection: one that a client opened for later does not hold up
// the end.
func TestDrainUnusedConnection(t *testing.T) {
	h, stop := servicetest.Run(t, func(context.Context, *service.Host) error { return nil }, servicetest.Config(t, nil))
	conn, err := net.Dial("tcp", h.Addr())
	require.NoError(t, err)
	defer conn.Close()
	require.Eventually(t, func() bool { return h.Unused() == 1 }, 5*time.Second, time.Millisecond)
	started := time.Now()
	stop()
	assert.Less(t, time.Since(started), 2*time.Second, "waited until patience ended")
}
