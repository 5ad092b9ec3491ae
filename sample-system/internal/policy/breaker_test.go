package policy_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// repeat calls n times and says how many calls were made.
func repeat(ctx context.Context, g *policy.Guard, n int, answer error) (calls int) {
	s := script{answers: []error{answer}}
	for range n {
		_ = g.Run(ctx, "k", s.call)
	}
	return s.calls
}

// TestBreaker opens, fails fast, tries one call at a time, and closes; with D10
// it never tries.
func TestBreaker(t *testing.T) {
	for _, defects := range []string{"", "D10"} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, _ context.Context, h *service.Host) {
				ctx := t.Context()
				state := func() float64 { return servicetest.Metric(t, h, "breaker_state") }
				g := policy.New(h, edge, policy.Options{Breaker: true})
				assert.Equal(t, 2, repeat(ctx, g, 2, errDown), "a blip")
				assert.Zero(t, state())
				assert.Equal(t, 8, repeat(ctx, g, 8, nil))
				assert.LessOrEqual(t, repeat(ctx, g, 100, errDown), 10, "open after some")
				assert.Equal(t, 2.0, state())
				require.True(t, policy.IsOpen(g.Run(ctx, "k", (&script{answers: []error{nil}}).call)))

				time.Sleep(2 * time.Second) // the bubble's clock
				if defects == "D10" {
					time.Sleep(time.Hour)
					assert.Zero(t, repeat(ctx, g, 100, nil), "still shed long after")
					return
				}
				assert.Equal(t, 1, repeat(ctx, g, 100, errDown), "one trial")
				time.Sleep(2 * time.Second)
				assert.Equal(t, 1, trialsAtOnce(ctx, g))
				assert.Zero(t, state())
				assert.Equal(t, 10, repeat(ctx, g, 10, nil))
			})
		})
	}
}

// trialsAtOnce is how many of ten callers a half-open breaker lets through.
func trialsAtOnce(ctx context.Context, g *policy.Guard) (calls int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	release := make(chan struct{})
	for range 10 {
		wg.Go(func() {
			_ = g.Run(ctx, "k", func(context.Context, string) error {
				mu.Lock()
				calls++
				mu.Unlock()
				<-release
				return nil
			})
		})
	}
	synctest.Wait()
	close(release)
	wg.Wait()
	return calls
}

// TestBreakerScope: what fails on one edge is refused there and nowhere else,
// and all guards of an edge share its breaker.
func TestBreakerScope(t *testing.T) {
	for _, defects := range []string{"", "D11"} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				o := policy.Options{Breaker: true}
				failing, again, healthy := policy.New(h, "a", o), policy.New(h, "a", o), policy.New(h, "b", o)
				repeat(ctx, failing, 20, errDown)
				assert.Zero(t, repeat(ctx, again, 5, nil), "same edge")
				want := map[string]int{"": 5, "D11": 0}[defects]
				assert.Equal(t, want, repeat(ctx, healthy, 5, nil), "other edge")
			})
		})
	}
}

// TestBreakerCounts: refusals do not open it, timeouts do; with D12 the other
// way round.
func TestBreakerCounts(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		opens, d12 bool
	}{
		{"503", errDown, true, true},
		{"lost", errLost, true, true},
		{"404", errMissing, false, true},
		{"409", errRefused, false, true},
		{"timeout", errTimeout, true, false},
		{"caller hung up", errHungUp, false, true},
	}
	for _, tt := range tests {
		for defects, opens := range map[string]bool{"": tt.opens, "D12": tt.d12} {
			t.Run(strings.TrimSpace(tt.name+" "+defects), func(t *testing.T) {
				bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
					g := policy.New(h, edge, policy.Options{Breaker: true})
					assert.Equal(t, opens, repeat(ctx, g, 20, tt.err) < 20)
				})
			})
		}
	}
}

// TestBreakerAndCallsCalledOff: a caller that hangs up shows neither that the
// callee is well nor that it is not: its trial closes nothing, and in between
// failures it does not count.
func TestBreakerAndCallsCalledOff(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		ctx := t.Context()
		g := policy.New(h, edge, policy.Options{Breaker: true})
		state := func() float64 { return servicetest.Metric(t, h, "breaker_state") }
		repeat(ctx, g, 10, nil)
		for range 5 {
			assert.Zero(t, state())
			assert.Equal(t, 3, repeat(ctx, g, 3, errHungUp))
			repeat(ctx, g, 1, errDown)
		}
		assert.Equal(t, 2.0, state(), "five of the last ten that say something")

		time.Sleep(2 * time.Second) // the bubble's clock
		assert.Equal(t, 1, repeat(ctx, g, 10, errHungUp))
		assert.Equal(t, 2.0, state(), "no success")
		time.Sleep(2 * time.Second)
		assert.Equal(t, 10, repeat(ctx, g, 10, nil), "the next trial decides")
	})
}

// TestBreakerAndNoTimeLeft: calls whose time was up before they began, as they
// are all over a service that is overloaded, do not open the breakers of callees
// that are well.
func TestBreakerAndNoTimeLeft(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		g := policy.New(h, edge, policy.Options{Breaker: true, Retry: three()})
		over, cancel := context.WithTimeout(ctx, -time.Second)
		defer cancel()
		assert.Equal(t, 20, repeat(over, g, 20, errTimeout))
		assert.Zero(t, servicetest.Metric(t, h, "breaker_state"))
		assert.Equal(t, 5, repeat(ctx, g, 5, nil))
	})
}

// TestBulkhead: a dependency that hangs takes its own pool and no more.
func TestBulkhead(t *testing.T) {
	for _, defects := range []string{"", "D24"} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				o := policy.Options{Bulkhead: 4, Timeout: time.Second}
				slow, well := policy.New(h, "slow", o), policy.New(h, "well", o)
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() { _ = slow.Run(ctx, "k", hang) })
				}
				synctest.Wait()
				assert.Equal(t, 4.0, servicetest.Metric(t, h, "bulkhead_in_use"))
				assert.True(t, policy.IsOpen(slow.Run(ctx, "k", hang)), "refused at once")
				want := map[string]int{"": 5, "D24": 0}[defects]
				assert.Equal(t, want, repeat(ctx, well, 5, nil))
				wg.Wait()
				assert.Zero(t, servicetest.Metric(t, h, "bulkhead_in_use"))
				assert.Equal(t, 5, repeat(ctx, well, 5, nil), "after the timeout all is well")
			})
		})
	}
}

// TestBreakerOpensBehindFullBulkhead: calls refused for lack of room are no
// successes, which would keep the breaker closed while everything hangs.
func TestBreakerOpensBehindFullBulkhead(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		g := policy.New(h, edge, policy.Options{Breaker: true, Bulkhead: 2, Timeout: 500 * time.Millisecond})
		var wg sync.WaitGroup
		for range 200 { // 100 calls/s for 2 s
			wg.Go(func() { _ = g.Run(t.Context(), "k", hang) })
			time.Sleep(10 * time.Millisecond) // the bubble's clock
		}
		wg.Wait()
		assert.Equal(t, 2.0, servicetest.Metric(t, h, "breaker_state"))
	})
}
