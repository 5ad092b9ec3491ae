package store

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPlaces runs on a fake clock: a pool of one, and a row of calls that wait.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{places: make(chan struct{}, 1)}
		require.NoError(t, p.enter(t.Context()))
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				if assert.NoError(t, p.enter(Begun(t.Context()))) {
					order = append(order, i)
					p.leave()
				}
			})
			synctest.Wait() // until it waits
		}
		started := time.Now()
		require.ErrorIs(t, p.enter(t.Context()), ErrBusy)
		assert.Equal(t, doorWait, time.Since(started))
		p.leave()
		wg.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4}, order, "who came first is served first")

		require.NoError(t, p.enter(t.Context()))
		started = time.Now()
		require.ErrorIs(t, p.enter(Begun(t.Context())), ErrBusy)
		assert.Equal(t, begunWait, time.Since(started))
		soon, cancel := context.WithTimeout(Begun(t.Context()), time.Second)
		defer cancel()
		require.ErrorIs(t, p.enter(soon), context.DeadlineExceeded)
	})
}
