package policy_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestRateLimit: one client floods, another notices nothing.
func TestRateLimit(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		l := policy.NewRateLimit(h, 10, 20)
		flood := func() (passed int) {
			for range 1000 {
				if ok, _ := l.Allow("flood"); ok {
					passed++
				}
			}
			return passed
		}
		assert.Equal(t, 20, flood(), "the burst")
		ok, wait := l.Allow("flood")
		assert.False(t, ok)
		assert.Equal(t, 100*time.Millisecond, wait)
		ok, _ = l.Allow("other")
		assert.True(t, ok)
		time.Sleep(wait) // the bubble's clock
		assert.Equal(t, 1, flood())
		time.Sleep(time.Second)
		assert.Equal(t, 10, flood(), "the rate")
		assert.Equal(t, 980.0+1+999+990, servicetest.Metric(t, h, "rate_limited_total"))
	})
}

// TestRateLimitIsBounded: however many clients come, memory does not grow, and
// one that comes all the time is not forgotten.
func TestRateLimitIsBounded(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		l := policy.NewRateLimit(h, 1, 1)
		ok, _ := l.Allow("steady")
		require.True(t, ok)
		for i := range 30_000 {
			l.Allow(fmt.Sprint("client", i))
			if i%1000 == 0 {
				ok, _ := l.Allow("steady")
				require.False(t, ok, "forgotten after %d others", i)
			}
		}
		assert.Equal(t, 10_000.0, servicetest.Metric(t, h, "rate_limit_clients"))
	})
}
