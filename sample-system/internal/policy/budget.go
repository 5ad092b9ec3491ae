// Retry budget.
//
// Answers: a lasting outage or overload. Each operation's few attempts are
// reasonable, but all of them together triple the load on a service in trouble
// and keep it down. So repetitions, hedges too, are limited to a share of calls.
// Numbers: each call earns a fifth of a repetition, so that an outage adds 20 %
// to the load and no more. Up to 50 are saved up: a blip of half a second at 100
// calls/s is repeated in full. It counts over time and not what is in flight,
// as failsafe-go's budget does: of calls that fail within a ms nothing is in
// flight.
// Costs: late in an outage most calls are tried once only.
// Breaks without it: scenario psp-outage, TestBudget. Off switch: D02 and D03,
// see retry.go and layers.go.

package policy

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
)

const (
	budgetShare = 0.2
	budgetMax   = 50
)

type budget struct {
	mu   sync.Mutex
	left float64
}

// newBudget is the budget of an edge.
func newBudget(h *service.Host, edge string) *budget {
	return service.Shared(h, "retry budget of "+edge, func() *budget {
		b := &budget{left: budgetMax}
		h.GaugeFunc("retry_budget_left", "Repetitions that may be made now.", prometheus.Labels{"edge": edge}, func() float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.left
		})
		return b
	})
}

// earn counts a call.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(budgetMax, b.left+budgetShare)
}

// spend asks for a repetition.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
