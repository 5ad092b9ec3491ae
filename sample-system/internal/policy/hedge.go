// Hedged reads.
//
// Answers: the slow tail: one instance in a pause, one packet lost. A read that
// takes longer than nearly all of them is sent once more, and the first answer
// is taken; the other attempt is cancelled, and waited for, so that it does not
// outlive its caller (failsafe-go's hedge leaves it behind).
// Numbers: the caller's delay, about the p95 of the read. Hedges are paid from
// the edge's retry budget, so that a callee slow for everybody is not asked twice.
// Costs: up to 5 % more calls. Never for what has an effect.
// Breaks without it: TestHedge. Off switch: none; Options.Hedge 0.

package policy

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

type hedge struct {
	edge   string
	delay  time.Duration // 0: none
	budget *budget
	sent   prometheus.Counter
}

func newHedge(h *service.Host, edge string, delay time.Duration, extra *budget) hedge {
	if delay == 0 {
		return hedge{}
	}
	sent := h.Counter("hedged_calls_total", "Reads sent a second time because the first took long.", "edge").WithLabelValues(edge)
	return hedge{edge: edge, delay: delay, budget: extra, sent: sent}
}

func (g hedge) wrap(f attempt) attempt {
	if g.delay == 0 {
		return f
	}
	return func(ctx context.Context, key string) (any, error) { return g.race(ctx, key, f) }
}

// race takes the first success, or the last failure.
func (g hedge) race(ctx context.Context, key string, f attempt) (any, error) {
	type result struct {
		got any
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result)
	running := 0
	start := func() {
		running++
		go func() {
			got, err := f(ctx, key)
			results <- result{got, err}
		}()
	}
	defer func() { // cancels the loser and waits for it
		cancel()
		for ; running > 0; running-- {
			<-results
		}
	}()

	start()
	slow := time.NewTimer(g.delay)
	defer slow.Stop()
	for {
		select {
		case <-slow.C:
			if !g.budget.spend() {
				continue
			}
			g.sent.Inc()
			tracing.Event(ctx, "hedge", "edge", g.edge)
			start()
		case r := <-results:
			if running--; r.err == nil || running == 0 {
				return r.got, r.err
			}
		}
	}
}
