// Package policy is what stands between a service and another one that fails:
// one file for each mechanism, and Guard, which puts them in front of an edge.
package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// Options are the mechanisms in front of one edge; zero is none of them.
type Options struct {
	Retry    *Retry
	Breaker  bool
	Bulkhead int           // calls at once
	Timeout  time.Duration // of one attempt
	Hedge    time.Duration // after which a read is sent once more; only for reads
}

// Retry is how often, and in which intervals, a call is repeated.
type Retry struct {
	Attempts int           // including the first
	Delay    time.Duration // longest pause before the second attempt; doubles
	MaxDelay time.Duration
	// Outer marks a layer above one that retries already: it must not, or the
	// attempts of both multiply.
	Outer bool
}

// Guard is the stack in front of one edge. From the outside in: retry with its
// budget, bulkhead, breaker, hedge, timeout. So each attempt has its own
// timeout, and the breaker counts attempts and not calls. The bulkhead is
// outside the breaker, which would take a refusal for lack of room for a success
// and stay closed while everything hangs.
type Guard struct {
	edge     string
	retry    *retry
	budget   *budget
	bulkhead failsafe.Executor[any]
	breaker  breaker
	key      keys
	hedge    hedge
	timeout  timeout
}

// New builds the guard of an edge, "orders -> payments". Breaker, bulkhead and
// retry budget belong to the edge: all its guards in a process share them.
func New(h *service.Host, edge string, o Options) *Guard {
	extra := newBudget(h, edge)
	return &Guard{
		edge:     edge,
		retry:    newRetry(h, edge, o.Retry, extra),
		budget:   extra,
		bulkhead: failsafe.With(newBulkhead(h, edge, o.Bulkhead)...),
		breaker:  newBreaker(h, edge, o.Breaker),
		key:      newKeys(h),
		hedge:    newHedge(h, edge, o.Hedge, extra),
		timeout:  newTimeout(h, o.Timeout),
	}
}

// Run calls f until it succeeds, fails for good, or attempts or ctx are used
// up. f must use the context and the key it is given: those of this attempt.
// Its error is that of f, or says by IsOpen that nothing was sent.
func (g *Guard) Run(ctx context.Context, key string, f func(ctx context.Context, key string) error) error {
	_, err := g.run(ctx, key, func(ctx context.Context, key string) (any, error) { return nil, f(ctx, key) })
	return err
}

// Read is Run for what has a result and no effect. Hedged attempts run at the
// same time, so f must not write to a variable that it shares with the next.
func Read[V any](ctx context.Context, g *Guard, f func(ctx context.Context) (V, error)) (V, error) {
	got, err := g.run(ctx, "", func(ctx context.Context, _ string) (any, error) { return f(ctx) })
	if err != nil {
		return *new(V), err
	}
	return got.(V), nil
}

// attempt is one try of a call.
type attempt = func(ctx context.Context, key string) (any, error)

func (g *Guard) run(ctx context.Context, key string, f attempt) (any, error) {
	var seen outcome
	f = g.breaker.wrap(g.hedge.wrap(g.timeout.wrap(guarded(f))))
	g.budget.earn()
	got, err := g.retry.run(ctx, func(ctx context.Context, n int) (any, error) {
		got, err := g.bulkhead.WithContext(ctx).Get(func() (any, error) { return f(ctx, g.key(key, n)) })
		if IsOpen(err) {
			tracing.Event(ctx, "refused", "edge", g.edge, "cause", err)
		}
		seen.note(got, err)
		return got, err
	})
	return seen.of(got, err)
}

// guarded makes a panic an error, so that no place in bulkhead or breaker is
// lost, and none takes the process down from a goroutine of ours.
func guarded(f attempt) attempt {
	return func(ctx context.Context, key string) (any, error) {
		return safely(ctx, func(ctx context.Context) (any, error) { return f(ctx, key) })
	}
}

func safely[V any](ctx context.Context, f func(context.Context) (V, error)) (_ V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(ctx)
}

// IsOpen reports whether a guard refused the call: its breaker is open or its
// bulkhead full. Nothing was sent.
func IsOpen(err error) bool {
	return errors.Is(err, circuitbreaker.ErrOpen) || errors.Is(err, bulkhead.ErrFull)
}
