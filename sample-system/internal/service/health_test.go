package service_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestReadiness: a required dependency that is down takes the instance out of
// traffic, an optional one is only shown; neither makes it dead.
func TestReadiness(t *testing.T) {
	tests := []struct {
		name           string
		broken         string
		defects        []string
		ready          bool
		listed, unsaid string
	}{
		{name: "all up", ready: true, listed: `"state":"up"`, unsaid: "down"},
		{name: "required down", broken: "db", listed: `"db","required":true,"state":"down"`},
		{name: "optional down", broken: "reviews", ready: true, listed: `"reviews","required":false,"state":"down"`},
		{name: "required down, D30", broken: "db", defects: []string{"D30"}, ready: true, listed: `"db","required":true,"state":"down"`},
		{name: "optional down, D30", broken: "reviews", defects: []string{"D30"}, listed: `"reviews","required":false,"state":"down"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			probe := func(name string) func(context.Context) error {
				return func(context.Context) error {
					if name == tt.broken {
						return errors.New("no answer")
					}
					return nil
				}
			}
			url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
				h.Check("db", true, probe("db"))
				h.Check("reviews", false, probe("reviews"))
				return nil
			}, nil, tt.defects...)
			want := map[bool]int{true: 200, false: 503}[tt.ready]
			var code int
			var body string
			require.Eventually(t, func() bool {
				code, body = servicetest.Get(t, url+"/readyz")
				return !strings.Contains(body, "not checked yet") && code == want
			}, 5*time.Second, 5*time.Millisecond, "got %d", code)
			assert.Contains(t, body, tt.listed)
			if tt.unsaid != "" {
				assert.NotContains(t, body, tt.unsaid)
			}
			code, _ = servicetest.Get(t, url+"/livez")
			assert.Equal(t, 204, code, "alive, ready or not")
		})
	}
}

// TestReadinessHysteresis: one probe out of line moves nobody, two do.
func TestReadinessHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int32 // probes still to fail
		failures.Store(3)
		h := servicetest.Host(t)
		h.Check("db", true, func(context.Context) error {
			if failures.Add(-1) >= 0 {
				return errors.New("no answer")
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.RunTasks(ctx); close(ended) }()
		after := func(d time.Duration) error { time.Sleep(d); synctest.Wait(); return h.Ready() } // the bubble's clock
		require.EqualError(t, after(0), "db: no answer")
		require.NoError(t, after(80*time.Millisecond), "the first success counts at once, and is looked for often")
		failures.Store(1)
		for range 8 {
			require.NoError(t, after(500*time.Millisecond), "a blip")
		}
		failures.Store(2)
		require.NoError(t, after(500*time.Millisecond))
		require.Error(t, after(500*time.Millisecond), "two in a row")
		require.Error(t, after(500*time.Millisecond), "one success is not enough")
		require.NoError(t, after(500*time.Millisecond))
		cancel()
		<-ended
	})
}
