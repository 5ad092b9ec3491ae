package service_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestShedding offers twice the capacity for 10 s, then half of it: 10 requests
// at once of 20 ms each are 500 a second. What counts is what is answered with
// 200 within half a second.
func TestShedding(t *testing.T) {
	tests := []struct {
		name            string
		defects         []string
		overload, after func(t *testing.T, good, offered int)
	}{
		{
			name:     "sheds",
			overload: func(t *testing.T, good, _ int) { assert.Greater(t, good, 4500, "goodput below 90 % of capacity") },
			after:    func(t *testing.T, good, offered int) { assert.Equal(t, offered, good, "not recovered") },
		},
		{
			name:    "D29",
			defects: []string{"D29"},
			overload: func(t *testing.T, good, _ int) {
				assert.Less(t, good, 1500, "the queue should have made all of them late")
			},
			after: func(t *testing.T, good, offered int) {
				assert.Less(t, good, offered/10, "the queue should still be there")
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := shedding(t, 10, tt.defects...)
				h.Handle("GET /work", func(http.ResponseWriter, *http.Request) error {
					time.Sleep(20 * time.Millisecond) // the bubble's clock
					return nil
				})
				var l load
				good, offered := l.offer(h, time.Millisecond, 10*time.Second)
				settle := time.Second // the drain bound
				l.offer(h, 4*time.Millisecond, settle)
				goodAfter, offeredAfter := l.offer(h, 4*time.Millisecond, 2*time.Second)
				l.Wait()
				tt.overload(t, *good, offered)
				tt.after(t, *goodAfter, offeredAfter)
			})
		})
	}
}

// load is requests that come whether or not earlier ones were answered.
type load struct {
	sync.WaitGroup
	mu sync.Mutex
}

// offer sends a request every gap; good may be read after Wait.
func (l *load) offer(h *service.Host, gap, total time.Duration) (good *int, offered int) {
	good = new(int)
	for range int(total / gap) {
		l.Go(func() {
			started := time.Now()
			w := httptest.NewRecorder()
			h.Serve(w, httptest.NewRequest(http.MethodGet, "/work", http.NoBody))
			if w.Code == http.StatusOK && time.Since(started) < 500*time.Millisecond {
				l.mu.Lock()
				*good++
				l.mu.Unlock()
			}
		})
		time.Sleep(gap) // the bubble's clock
	}
	return good, int(total / gap)
}

// shedding is a host with room for so many requests at once.
func shedding(t *testing.T, concurrency int, defects ...string) *service.Host {
	cfg := servicetest.Config(t, nil, defects...)
	cfg.Concurrency = concurrency
	h := service.Bare(cfg)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// TestBulkheadOfProcess: what finds no slot is refused, and the service can
// still be asked how it is.
func TestBulkheadOfProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := shedding(t, 2)
		release := make(chan struct{})
		h.Handle("GET /hang", func(http.ResponseWriter, *http.Request) error { <-release; return nil })
		get := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.Serve(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			return w
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { assert.Equal(t, 200, get("/hang").Code) })
		}
		synctest.Wait()
		refused := get("/hang")
		assert.Equal(t, 503, refused.Code)
		assert.Equal(t, "1", refused.Header().Get("Retry-After"))
		assert.Contains(t, refused.Body.String(), `"executed":false`)
		assert.Equal(t, 200, get("/readyz").Code)
		assert.Equal(t, 1.0, servicetest.Metric(t, h, "http_server_shed_total"))
		assert.Equal(t, 2.0, servicetest.Metric(t, h, "http_server_in_work"))
		close(release)
		wg.Wait()
		assert.Zero(t, servicetest.Metric(t, h, "http_server_in_work"))
	})
}

// TestExpired: work for a caller that is gone by then is not begun, at the door
// or after queueing; under D09 it is done, and its answer late.
func TestExpired(t *testing.T) {
	tests := []struct {
		name, deadline string
		busy           time.Duration // how long the only slot is taken
		defects        []string
		code           int
		served         bool
		expired, late  float64
	}{
		{name: "time enough", deadline: "80", busy: 50 * time.Millisecond, code: 200, served: true},
		{name: "none left", deadline: "0", code: 504, expired: 1, late: 1},
		{name: "passed in the queue", deadline: "20", busy: 50 * time.Millisecond, code: 504, expired: 1, late: 1},
		{name: "none left, D09", deadline: "0", defects: []string{"D09"}, code: 200, served: true, late: 1},
		{name: "passed in the queue, D09", deadline: "20", busy: 50 * time.Millisecond, defects: []string{"D09"}, code: 200, served: true, late: 1},
		{name: "no deadline", busy: 50 * time.Millisecond, code: 200, served: true},
		{name: "nonsense", deadline: "-5 ms", code: 200, served: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := shedding(t, 1, tt.defects...)
				served := false
				h.Handle("GET /busy", func(http.ResponseWriter, *http.Request) error { time.Sleep(tt.busy); return nil })
				h.Handle("GET /work", func(http.ResponseWriter, *http.Request) error { served = true; return nil })
				var wg sync.WaitGroup
				wg.Go(func() { h.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/busy", http.NoBody)) })
				synctest.Wait()
				w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/work", http.NoBody)
				r.Header.Set("X-Deadline-Ms", tt.deadline)
				h.Serve(w, r)
				wg.Wait()
				assert.Equal(t, tt.code, w.Code)
				assert.Equal(t, tt.served, served)
				assert.Equal(t, tt.code == 504, strings.Contains(w.Body.String(), `"executed":false`))
				assert.Equal(t, tt.expired, servicetest.Metric(t, h, "http_server_expired_total"))
				assert.Equal(t, tt.late, servicetest.Metric(t, h, "http_server_late_total"))
			})
		})
	}
}
