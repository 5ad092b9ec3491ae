// Package backoff spaces the rounds of background work that must succeed in
// the end.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff doubles its delay with every failure, up to Max. The jitter of 25 %
// keeps instances that failed together from coming back together.
type Backoff struct {
	Base, Max time.Duration
}

// Delay is the wait after the given number of failures in a row, at least 1.
func (b Backoff) Delay(failures int) time.Duration {
	d := b.Base
	for i := 1; i < failures && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	return d - time.Duration(rand.Float64()*0.25*float64(d))
}

// Wait returns when d has passed, wake is signalled or ctx has ended; only the
// last is an error.
func Wait(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Signal wakes a waiter without blocking; signals that nobody has taken yet
// are one.
func Signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
