// Scope of a breaker: the edge.
//
// Answers: one dependency, or one route of it, that fails while the others are
// well. What failed is refused and nothing else; a caller that wants a breaker
// for a route of its own names the edge so, "gateway -> orders /checkout".
// Numbers: none.
// Costs: each edge learns about a failure by itself.
// Breaks without it: scenario psp-slow, TestBreakerScope. Off switch:
// D11, one breaker for all edges of the process.

package policy

import (
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// breakerScope is the name of the breaker that an edge belongs to.
func breakerScope(h *service.Host, edge string) string {
	if h.Defects.Has(defect.BreakerShared) {
		return "all edges"
	}
	return edge
}
