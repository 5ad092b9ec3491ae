package policy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestHedge: a read that takes long is sent once more, the first answer wins, and
// the other attempt has ended when the caller goes on.
func TestHedge(t *testing.T) {
	tests := []struct {
		name          string
		first, second func(ctx context.Context) (string, error)
		want          string
		took          time.Duration
		err           error
		hedges        float64
	}{
		{name: "quick", first: after(10*time.Millisecond, "first", nil), want: "first", took: 10 * time.Millisecond},
		{name: "slow", first: after(time.Minute, "first", nil), second: after(10*time.Millisecond, "second", nil), want: "second", took: 60 * time.Millisecond, hedges: 1},
		{name: "slow, but still first", first: after(60*time.Millisecond, "first", nil), second: after(time.Minute, "second", nil), want: "first", took: 60 * time.Millisecond, hedges: 1},
		{name: "second fails", first: after(80*time.Millisecond, "first", nil), second: after(0, "", errDown), want: "first", took: 80 * time.Millisecond, hedges: 1},
		{name: "both fail", first: after(80*time.Millisecond, "", errLost), second: after(0, "", errDown), took: 80 * time.Millisecond, err: errLost, hedges: 1},
		{name: "first fails at once", first: after(0, "", errDown), err: errDown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
				g := policy.New(h, edge, policy.Options{Hedge: 50 * time.Millisecond})
				var begun, running atomic.Int32
				started := time.Now()
				got, err := policy.Read(ctx, g, func(ctx context.Context) (string, error) {
					running.Add(1)
					defer running.Add(-1)
					if begun.Add(1) == 1 {
						return tt.first(ctx)
					}
					return tt.second(ctx)
				})
				assert.Zero(t, running.Load())
				assert.Equal(t, tt.want, got)
				assert.ErrorIs(t, err, tt.err)
				assert.Equal(t, tt.took, time.Since(started))
				assert.Equal(t, tt.hedges, servicetest.Metric(t, h, "hedged_calls_total"))
			})
		})
	}
}

// after answers after a time, or with the context's end.
func after(d time.Duration, answer string, err error) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		select {
		case <-time.After(d):
			return answer, err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// TestHedgeBudget: a callee that is slow for everybody is not asked twice.
func TestHedgeBudget(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		g := policy.New(h, edge, policy.Options{Hedge: 50 * time.Millisecond})
		for range 1000 {
			_, err := policy.Read(t.Context(), g, after(200*time.Millisecond, "answer", nil))
			require.NoError(t, err)
		}
		assert.InDelta(t, 250, servicetest.Metric(t, h, "hedged_calls_total"), 5)
	})
}
