package plan

import (
	"maps"
	"slices"

	"squall/faults"
	"squall/scenarios/spec"
)

// overlimited refuses limits that have no meaning for a kind, and says why; that
// the kind takes no such parameter would tell too little.
func (c *compiler) overlimited(f spec.Fault, kind faults.Kind) (refused []string) {
	var given map[string]spec.Node
	if f.Params.Decode(&given) != nil {
		return nil // told when the kind decodes them
	}
	fields := spec.Fields(kind.Params)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		takes := slices.ContainsFunc(fields, func(p spec.Field) bool { return p.Name == name })
		if why := kind.Lacks(name); !takes && why != "" {
			c.problem(given[name].Pos(), "", "fault %s: %s cannot be limited by %s: %s", f.ID, f.Kind, name, why)
			refused = append(refused, name)
		}
	}
	return refused
}
