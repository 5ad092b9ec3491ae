// One layer retries.
//
// Answers: attempts that multiply. Three layers with three attempts each send 27
// calls to a leaf that is down. The layer nearest to the failure knows most
// about it and repeats; those above (Retry.Outer) pass its answer on.
// Numbers: none.
// Costs: a failure between an outer layer and the next is not repeated.
// Breaks without it: scenario layers, TestLayers. Off switch: D03, every
// layer repeats, as one does that knows nothing of the others: without a budget.

package policy

import (
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// layer is the retry that this layer makes, nil for none, and whether it is
// limited by the edge's budget.
func layer(h *service.Host, r *Retry) (_ *Retry, budgeted bool) {
	if h.Defects.Has(defect.RetryAtEachLayer) {
		return r, false
	}
	if r == nil || r.Outer {
		return nil, false
	}
	return r, true
}
