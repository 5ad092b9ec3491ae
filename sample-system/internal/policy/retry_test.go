package policy_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func TestRetryIsCapped(t *testing.T) {
	for defects, want := range map[string]func(t *testing.T, calls int){
		"":    func(t *testing.T, calls int) { assert.Equal(t, 3, calls) },
		"D02": func(t *testing.T, calls int) { assert.Greater(t, calls, 10) },
	} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				s := script{answers: []error{errDown}}
				err := policy.New(h, edge, policy.Options{Retry: three()}).Run(ctx, "k", s.call)
				require.ErrorIs(t, err, error(errDown))
				want(t, s.calls)
				assert.EqualValues(t, s.calls-1, servicetest.Metric(t, h, "retry_attempts_total"))
				exhausted := map[string]float64{"": 1}[defects]
				assert.Equal(t, exhausted, servicetest.Metric(t, h, "retries_exhausted_total"))
			})
		})
	}
}

// TestBackoff: the gaps grow, each half fixed and half random, up to the limit.
func TestBackoff(t *testing.T) {
	for defects, gaps := range map[string][]time.Duration{
		"":    {50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond},
		"D01": {0, 0, 0, 0},
	} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, _ context.Context, h *service.Host) {
				g := policy.New(h, edge, policy.Options{Retry: &policy.Retry{Attempts: 5, Delay: 50 * time.Millisecond, MaxDelay: 200 * time.Millisecond}})
				first := map[time.Duration]bool{}
				for range 10 {
					s := script{answers: []error{errDown}}
					require.Error(t, g.Run(t.Context(), "k", s.call))
					require.Len(t, s.at, 5)
					for i, longest := range gaps {
						gap := s.at[i+1].Sub(s.at[i])
						assert.LessOrEqual(t, gap, longest)
						assert.GreaterOrEqual(t, gap, longest/2)
					}
					first[s.at[1].Sub(s.at[0])] = true
				}
				assert.Equal(t, defects == "", len(first) > 1, "jitter")
			})
		})
	}
}

// TestBudget: an outage adds little to the load, a blip is repeated in full.
func TestBudget(t *testing.T) {
	const calls = 1000
	for defects, want := range map[string]func(t *testing.T, attempts int){
		"":    func(t *testing.T, attempts int) { assert.InDelta(t, 1.25*calls, attempts, 0.01*calls) },
		"D02": func(t *testing.T, attempts int) { assert.Greater(t, attempts, 10*calls) },
	} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, _ context.Context, h *service.Host) {
				g := policy.New(h, edge, policy.Options{Retry: three()})
				down := script{answers: []error{errDown}}
				for range calls {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					require.Error(t, g.Run(ctx, "k", down.call))
					cancel()
				}
				want(t, down.calls)
			})
		})
	}
	t.Run("blip", func(t *testing.T) {
		bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
			g := policy.New(h, edge, policy.Options{Retry: three()})
			for range 40 {
				s := script{answers: []error{errDown, nil}}
				require.NoError(t, g.Run(ctx, "k", s.call))
			}
		})
	})
}

// TestLayers: of three layers above a leaf that is down, one repeats.
func TestLayers(t *testing.T) {
	for defects, calls := range map[string]int{"": 3, "D03": 27} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				outer := three()
				outer.Outer = true
				gateway := policy.New(h, "gateway -> orders", policy.Options{Retry: outer})
				orders := policy.New(h, "orders -> payments", policy.Options{Retry: three()})
				payments := policy.New(h, "payments -> psp", policy.Options{Retry: outer})
				leaf := script{answers: []error{errDown}}
				err := gateway.Run(ctx, "k", func(ctx context.Context, key string) error {
					return orders.Run(ctx, key, func(ctx context.Context, key string) error {
						return payments.Run(ctx, key, leaf.call)
					})
				})
				require.ErrorIs(t, err, error(errDown))
				assert.Equal(t, calls, leaf.calls)
			})
		})
	}
}

// TestRetryable: what may be gone the next time is repeated, a refusal is not.
func TestRetryable(t *testing.T) {
	tests := []struct {
		first           error
		clean, d04, d05 int // attempts
	}{
		{first: errDown, clean: 2, d04: 2, d05: 1},
		{first: errLost, clean: 2, d04: 2, d05: 1},
		{first: errNotSent, clean: 2, d04: 2, d05: 1},
		{first: errTimeout, clean: 2, d04: 2, d05: 1},
		{first: errRefused, clean: 1, d04: 2, d05: 1},
		{first: errMissing, clean: 1, d04: 2, d05: 1},
	}
	for i, tt := range tests {
		for defects, attempts := range map[string]int{"": tt.clean, "D04": tt.d04, "D05": tt.d05} {
			t.Run(strconv.Itoa(i)+defects, func(t *testing.T) {
				bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
					s := script{answers: []error{tt.first, nil}}
					err := policy.New(h, edge, policy.Options{Retry: three()}).Run(ctx, "k", s.call)
					assert.Equal(t, attempts, s.calls)
					assert.Equal(t, attempts == 2, err == nil)
				})
			})
		}
	}
}

// TestKey: the callee can recognise a repetition.
func TestKey(t *testing.T) {
	for defects, keys := range map[string][]string{"": {"k", "k", "k"}, "D06": {"k", "k.retry2", "k.retry3"}} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				s := script{answers: []error{errLost}}
				require.Error(t, policy.New(h, edge, policy.Options{Retry: three()}).Run(ctx, "k", s.call))
				assert.Equal(t, keys, s.keys)
			})
		})
	}
}
