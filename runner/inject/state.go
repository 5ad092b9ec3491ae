package inject

import (
	"fmt"

	"squall/runner/record"
)

// next is the life cycle of a fault:
//
//	new -> intent -> injected -> biting -> reverted -> gone
//
// A fault may be reverted from any state after intent, because an injection
// that failed may have happened half-way.
var next = map[record.FaultState][]record.FaultState{
	"":                   {record.FaultIntent},
	record.FaultIntent:   {record.FaultInjected, record.FaultReverted},
	record.FaultInjected: {record.FaultBiting, record.FaultReverted},
	record.FaultBiting:   {record.FaultReverted},
	record.FaultReverted: {record.FaultGone},
}

// advance refuses a transition that the life cycle does not have.
func advance(id string, from, to record.FaultState) error {
	for _, s := range next[from] {
		if s == to {
			return nil
		}
	}
	return fmt.Errorf("fault %s: %q cannot follow %q", id, to, from)
}
