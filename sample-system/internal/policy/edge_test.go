package policy_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestEdge runs a guard over a real client, socket and server: the callee of a
// call that timed out stops in time, and the repetition carries the same key.
// With D09 it works on for nobody.
func TestEdge(t *testing.T) {
	for defects, stops := range map[string]bool{"": true, "D09": false} {
		t.Run(defects, func(t *testing.T) {
			stopped := make(chan bool, 1)
			keys := make(chan string, 2)
			var calls atomic.Int32
			callee := servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
				h.Handle("POST /work", func(w http.ResponseWriter, r *http.Request) error {
					keys <- r.Header.Get(service.IdempotencyHeader)
					if calls.Add(1) > 1 {
						return service.WriteJSON(w, 200, struct{}{})
					}
					select {
					case <-r.Context().Done():
						stopped <- true
						return r.Context().Err()
					case <-time.After(500 * time.Millisecond): // much longer than its caller waits
						stopped <- false
						return service.WriteJSON(w, 200, struct{}{})
					}
				})
				return nil
			}, servicetest.Config(t, nil, defects))
			h := servicetest.Host(t, defects)
			client := call.New(h, "callee", call.Static("http://"+callee.Addr()))
			g := policy.New(h, client.Edge, policy.Options{Retry: three(), Breaker: true, Bulkhead: 4, Timeout: 200 * time.Millisecond})
			require.NoError(t, g.Run(t.Context(), "k", func(ctx context.Context, key string) error {
				return client.Post(ctx, "/work", key, struct{}{}, nil)
			}))
			assert.Equal(t, stops, <-stopped)
			assert.Equal(t, "k", <-keys)
			assert.Equal(t, "k", <-keys)
			assert.Equal(t, 1.0, servicetest.Metric(t, h, "retry_attempts_total"))
			require.Eventually(t, func() bool { return servicetest.Metric(t, callee, "http_server_late_total") == 1 },
				5*time.Second, 5*time.Millisecond, "work for a caller that has gone shows")
		})
	}
}
