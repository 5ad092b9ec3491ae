package policy_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// source is what a cache loads from: an answer after 10 ms.
type source struct {
	err   error
	loads atomic.Int32
}

func (s *source) load(ctx context.Context) (string, error) {
	n := s.loads.Add(1)
	select {
	case <-time.After(10 * time.Millisecond):
		return fmt.Sprint("value ", n), s.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func newCache(h *service.Host) *policy.Cache[string] {
	return policy.NewCache[string](h, "test", time.Second, time.Minute)
}

// TestCacheStampede: after a flush under load one caller loads, and all get it.
func TestCacheStampede(t *testing.T) {
	for defects, loads := range map[string]int32{"": 2, "D27": 101} {
		t.Run(defects, func(t *testing.T) {
			bubble(t, []string{defects}, func(t *testing.T, ctx context.Context, h *service.Host) {
				c, s := newCache(h), &source{}
				get := func() {
					_, _, stale, err := c.Get(ctx, "hot", s.load)
					assert.NoError(t, err)
					assert.False(t, stale)
				}
				get()
				get()
				require.EqualValues(t, 1, s.loads.Load(), "cached")
				c.Flush()
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(get)
				}
				wg.Wait()
				assert.Equal(t, loads, s.loads.Load())
				assert.EqualValues(t, loads, servicetest.Metric(t, h, "cache_loads_total"))
			})
		})
	}
}

// TestCacheSourceDown: what was known is served on and marked, for a time, and
// the source is asked only now and then.
func TestCacheSourceDown(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		ctx := t.Context()
		c, s := newCache(h), &source{}
		_, _, _, err := c.Get(ctx, "k", s.load)
		require.NoError(t, err)
		s.err = errDown
		time.Sleep(10 * time.Second) // the bubble's clock, as below
		v, age, stale, err := c.Get(ctx, "k", s.load)
		require.NoError(t, err)
		assert.Equal(t, "value 1", v)
		assert.True(t, stale)
		assert.Equal(t, 10*time.Second, age)
		for range 100 {
			time.Sleep(30 * time.Millisecond)
			_, _, stale, err := c.Get(ctx, "k", s.load)
			require.NoError(t, err)
			require.True(t, stale)
		}
		assert.LessOrEqual(t, s.loads.Load(), int32(5), "1 while it was up, 1 s apart since")

		_, _, _, err = c.Get(ctx, "never seen", s.load)
		require.ErrorIs(t, err, error(errDown))
		s.err = nil
		time.Sleep(time.Second)
		_, age, stale, err = c.Get(ctx, "k", s.load)
		require.NoError(t, err)
		assert.False(t, stale)
		assert.Zero(t, age)

		s.err = errDown
		time.Sleep(2 * time.Minute)
		_, _, _, err = c.Get(ctx, "k", s.load)
		assert.ErrorIs(t, err, error(errDown), "too old to be served")
	})
}

// TestCacheSourceSaysNo: an answer is no failure, and what was known before is
// not true any more.
func TestCacheSourceSaysNo(t *testing.T) {
	for _, no := range []error{errMissing, service.Problem{Status: 404}} {
		bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
			ctx := t.Context()
			c, s := newCache(h), &source{}
			_, _, _, err := c.Get(ctx, "k", s.load)
			require.NoError(t, err)
			time.Sleep(2 * time.Second) // the bubble's clock
			s.err = no
			_, _, _, err = c.Get(ctx, "k", s.load)
			require.Equal(t, no, err)
			s.err = errDown
			_, _, _, err = c.Get(ctx, "k", s.load)
			assert.ErrorIs(t, err, error(errDown), "there is nothing stale to serve")
		})
	}
}

// TestCacheLoadIsNotItsFirstCallers: who was first may leave, the others get
// their answer.
func TestCacheLoadIsNotItsFirstCallers(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		c, s := newCache(h), &source{}
		var wg sync.WaitGroup
		impatient, leave := context.WithCancel(ctx)
		wg.Go(func() {
			_, _, _, err := c.Get(impatient, "k", s.load)
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		wg.Go(func() {
			v, _, _, err := c.Get(ctx, "k", s.load)
			assert.NoError(t, err)
			assert.Equal(t, "value 1", v)
		})
		synctest.Wait()
		leave()
		wg.Wait()
	})
}

// TestCacheFlushDuringLoad: what is loaded from before a flush is not kept.
func TestCacheFlushDuringLoad(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		c, s := newCache(h), &source{}
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _, _ = c.Get(ctx, "k", s.load) })
		synctest.Wait()
		c.Flush()
		wg.Wait()
		v, _, _, err := c.Get(ctx, "k", s.load)
		require.NoError(t, err)
		assert.Equal(t, "value 2", v)
	})
}

// TestCacheIsBounded, and a load that panics is an error.
func TestCacheIsBounded(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ context.Context, h *service.Host) {
		ctx := t.Context()
		c := policy.NewCache[int](h, "test", time.Hour, time.Hour)
		for i := range 10_100 {
			_, _, _, err := c.Get(ctx, fmt.Sprint(i), func(context.Context) (int, error) { return i, nil })
			require.NoError(t, err)
		}
		kept := 0
		for i := range 10_100 {
			_, _, _, err := c.Get(ctx, fmt.Sprint(i), func(context.Context) (int, error) { panic("gone") })
			if err == nil {
				kept++
			} else {
				require.ErrorContains(t, err, "panic: gone")
			}
		}
		assert.Equal(t, 10_000, kept)
	})
}
