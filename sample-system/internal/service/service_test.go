package service_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func get(t *testing.T, url string) (int, string) {
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestReadiness(t *testing.T) {
	why := errors.New("no bus")
	var mu sync.Mutex
	url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		h.ReadyWhen(func() error { mu.Lock(); defer mu.Unlock(); return why })
		return nil
	}, nil)
	code, body := get(t, url+"/readyz")
	assert.Equal(t, 503, code)
	assert.Contains(t, body, "no bus")
	code, _ = get(t, url+"/livez")
	assert.Equal(t, 204, code, "alive, though not ready")
	mu.Lock()
	why = nil
	mu.Unlock()
	code, _ = get(t, url+"/readyz")
	assert.Equal(t, 204, code)
}

func TestErrorsAreProblems(t *testing.T) {
	url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /secret", func(http.ResponseWriter, *http.Request) error { return errors.New("password is 1234") })
		h.Handle("GET /problem", func(http.ResponseWriter, *http.Request) error { return service.Invalid("too small") })
		return nil
	}, nil)
	code, body := get(t, url+"/secret")
	assert.Equal(t, 500, code)
	assert.NotContains(t, body, "1234")
	code, body = get(t, url+"/problem")
	assert.Equal(t, 422, code)
	assert.JSONEq(t, `{"title":"invalid","status":422,"detail":"too small"}`, body)
	_, metrics := get(t, url+"/metrics")
	assert.Contains(t, metrics, `http_server_request_duration_seconds_count{code="422",method="GET",route="/problem"} 1`)
}

// TestBulkhead: what is beyond the limit is refused at once, and the service
// can still be asked how it is.
func TestBulkhead(t *testing.T) {
	const limit = 512
	release, entered := make(chan struct{}), make(chan struct{}, limit)
	url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /hang", func(http.ResponseWriter, *http.Request) error {
			entered <- struct{}{}
			<-release
			return nil
		})
		return nil
	}, nil)
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			code, _ := get(t, url+"/hang")
			assert.Equal(t, 200, code)
		})
	}
	for range limit {
		<-entered
	}
	code, body := get(t, url+"/hang")
	assert.Equal(t, 503, code)
	assert.Contains(t, body, `"executed":false`)
	code, _ = get(t, url+"/readyz")
	assert.Equal(t, 204, code)
	close(release)
	wg.Wait()
}

// TestDrain: a request in flight when the service is told to stop is answered.
func TestDrain(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	taskEnded := false
	h, err := service.New(ctx, service.Config{Name: "x", Listen: "127.0.0.1:0", Log: io.Discard}, func(_ context.Context, h *service.Host) error {
		h.Handle("GET /slow", func(w http.ResponseWriter, _ *http.Request) error {
			close(entered)
			<-release
			return service.WriteJSON(w, 200, "done")
		})
		h.Go("task", func(ctx context.Context) error { <-ctx.Done(); taskEnded = true; return nil })
		return nil
	})
	require.NoError(t, err)
	ran, answered := make(chan error, 1), make(chan int, 1)
	go func() { ran <- h.Run(ctx) }()
	go func() { code, _ := get(t, "http://"+h.Addr()+"/slow"); answered <- code }()
	<-entered
	cancel()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + h.Addr() + "/livez")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "takes new connections")
	close(release)
	assert.Equal(t, 200, <-answered)
	assert.NoError(t, <-ran)
	assert.True(t, taskEnded)
}

func TestTaskThatFailsEndsTheService(t *testing.T) {
	h, err := service.New(t.Context(), service.Config{Name: "x", Listen: "127.0.0.1:0", Log: io.Discard}, func(_ context.Context, h *service.Host) error {
		h.Go("pump", func(context.Context) error { return errors.New("broken") })
		return nil
	})
	require.NoError(t, err)
	assert.EqualError(t, h.Run(t.Context()), "run x pump: broken")
}
