// Bulkhead: a pool of calls for each dependency.
//
// Answers: one slow dependency that ties up everything its callers have, until
// routes that do not need it stand still too. Each edge has so many calls at
// once; what is beyond them is refused at once, as if its breaker were open.
// Numbers: the caller's: calls per second times the timeout of an attempt is
// what a hanging dependency takes; a bulkhead is smaller than that, and several
// times what is in flight on a good day.
// Costs: calls refused although the dependency might have done them.
// Breaks without it: scenario orders-slow, TestBulkhead. Off switch: D24, one
// pool for all edges of the process, as large as that of the first.

package policy

import (
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// newBulkhead is the pool that an edge takes from, none for size 0.
func newBulkhead(h *service.Host, edge string, size int) []failsafe.Policy[any] {
	if size == 0 {
		return nil
	}
	pool := edge
	if h.Defects.Has(defect.SharedPool) {
		pool = "all edges"
	}
	return []failsafe.Policy[any]{service.Shared(h, "bulkhead of "+pool, func() bulkhead.Bulkhead[any] {
		inUse := h.Gauge("bulkhead_in_use", "Calls that hold a place in the pool of an edge.", "edge").WithLabelValues(pool)
		full := h.Counter("bulkhead_full_total", "Calls refused because the pool of an edge was used up.", "edge").WithLabelValues(pool)
		return bulkhead.NewBuilder[any](uint(size)).
			OnAcquired(func(failsafe.ExecutionEvent[any]) { inUse.Inc() }).
			OnReleased(func(failsafe.ExecutionEvent[any]) { inUse.Dec() }).
			OnFull(func(failsafe.ExecutionEvent[any]) { full.Inc() }).
			Build()
	})}
}
