package policy_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// Errors as package call makes them.
var (
	errDown    = &call.StatusError{Edge: edge, Status: 503}
	errLost    = &call.LostError{Edge: edge, Err: errors.New("connection reset")}
	errNotSent = &call.LostError{Edge: edge, Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}
	errRefused = &call.StatusError{Edge: edge, Status: 409}
	errMissing = &call.StatusError{Edge: edge, Status: 404}
	errTimeout = &call.LostError{Edge: edge, Err: context.DeadlineExceeded}
	errHungUp  = &call.LostError{Edge: edge, Err: context.Canceled}
)

const edge = "test -> callee"

// script is a callee that answers by a list, its last entry for ever.
type script struct {
	answers []error
	calls   int
	at      []time.Time
	keys    []string
}

func (s *script) call(_ context.Context, key string) error {
	answer := s.answers[min(s.calls, len(s.answers)-1)]
	s.calls++
	s.at = append(s.at, time.Now())
	s.keys = append(s.keys, key)
	return answer
}

// bubble runs a test in fake time, with a host and a context of 3 s.
func bubble(t *testing.T, defects []string, f func(t *testing.T, ctx context.Context, h *service.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		f(t, ctx, servicetest.Host(t, defects...))
	})
}

func three() *policy.Retry {
	return &policy.Retry{Attempts: 3, Delay: 50 * time.Millisecond, MaxDelay: 200 * time.Millisecond}
}

// TestOutcome: an attempt that may have been executed is not hidden by what came
// after it.
func TestOutcome(t *testing.T) {
	tests := []struct {
		name    string
		answers []error
		before  []error // of calls made before, to open the breaker
		want    error
		open    bool
	}{
		{name: "lost, then no connection", answers: []error{errLost, errNotSent}, want: errLost},
		{name: "no connection, then lost", answers: []error{errNotSent, errNotSent, errLost}, want: errLost},
		{name: "never a connection", answers: []error{errNotSent}, want: errNotSent},
		{name: "lost, then refused", answers: []error{errLost, errRefused}, want: errRefused},
		{name: "lost, then done", answers: []error{errLost, nil}},
		{name: "lost, then open", before: []error{nil, nil, nil, nil, nil, errDown, errDown, errDown, errDown}, answers: []error{errLost}, want: errLost},
		{name: "open at once", before: []error{errDown}, answers: []error{nil}, open: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
				g := policy.New(h, edge, policy.Options{Retry: three(), Breaker: true})
				if tt.before != nil {
					breakerOnly, s := policy.New(h, edge, policy.Options{Breaker: true}), script{answers: tt.before}
					for range 9 {
						_ = breakerOnly.Run(ctx, "", s.call)
					}
				}
				s := script{answers: tt.answers}
				err := g.Run(ctx, "k", s.call)
				assert.Equal(t, tt.open, policy.IsOpen(err))
				if !tt.open {
					assert.Equal(t, tt.want, err)
				}
			})
		})
	}
}

// TestOutcomeAtTheEndOfPatience: what was done in the moment in which the caller
// gave up was done, and a context that ends between two attempts does not make a
// lost call a harmless one.
func TestOutcomeAtTheEndOfPatience(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		g := policy.New(h, edge, policy.Options{Retry: three(), Breaker: true, Bulkhead: 1, Timeout: time.Second})
		ends, end := context.WithCancel(ctx)
		require.NoError(t, g.Run(ends, "", func(context.Context, string) error { end(); return nil }))

		ends, end = context.WithCancel(ctx)
		err := g.Run(ends, "", func(context.Context, string) error { end(); return errHungUp })
		assert.Equal(t, errHungUp, err)

		ends, end = context.WithTimeout(ctx, time.Millisecond)
		defer end()
		s := script{answers: []error{errLost}}
		err = g.Run(ends, "", s.call)
		require.ErrorIs(t, err, error(errLost))
		assert.True(t, call.IsTimeout(err))
		assert.True(t, call.Unavailable(err))
		assert.Equal(t, 1, s.calls)
	})
}

// TestPanic: a panic in one call costs no place in the bulkhead.
func TestPanic(t *testing.T) {
	bubble(t, nil, func(t *testing.T, ctx context.Context, h *service.Host) {
		g := policy.New(h, edge, policy.Options{Bulkhead: 1, Hedge: time.Millisecond})
		for range 3 {
			require.ErrorContains(t, g.Run(ctx, "", func(context.Context, string) error { panic("oops") }), "panic: oops")
		}
		require.NoError(t, g.Run(ctx, "", func(context.Context, string) error { return nil }))
		assert.Zero(t, servicetest.Metric(t, h, "bulkhead_in_use"))
	})
}
