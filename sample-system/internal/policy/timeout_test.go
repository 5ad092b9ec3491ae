package policy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

// hang is a callee that never answers.
func hang(ctx context.Context, _ string) error {
	<-ctx.Done()
	return &call.LostError{Edge: edge, Err: ctx.Err()}
}

// TestTimeout: the caller waits as long as its policy says, and the attempt
// knows how long that is; with D07 the caller waits to the end of its own time.
func TestTimeout(t *testing.T) {
	for defects, waits := range map[string]time.Duration{"": 400 * time.Millisecond, "D07": 3 * time.Second} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				started := time.Now()
				g := policy.New(h, edge, policy.Options{Timeout: 400 * time.Millisecond})
				err := g.Run(ctx, "k", func(ctx context.Context, key string) error {
					at, ok := ctx.Deadline()
					require.True(t, ok)
					assert.Equal(t, waits, time.Until(at), "what deadline.Inject will pass on")
					return hang(ctx, key)
				})
				assert.True(t, call.IsTimeout(err))
				assert.Equal(t, waits, time.Since(started))
			})
		})
	}
}

// TestTimeoutOfEachAttempt: the second attempt has its own.
func TestTimeoutOfEachAttempt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		attempts := 0
		g := policy.New(h, edge, policy.Options{Retry: three(), Timeout: 400 * time.Millisecond})
		require.NoError(t, g.Run(ctx, "k", func(ctx context.Context, key string) error {
			if attempts++; attempts == 1 {
				return hang(ctx, key)
			}
			return nil
		}))
		assert.Equal(t, 2, attempts)
	})
}
