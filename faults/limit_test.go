package faults

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/scenarios/spec"
)

// What acts on one unit after the other lets choose among them; everything else
// says why it cannot.
func TestEveryKindHasUnitsOrIsWhole(t *testing.T) {
	for _, name := range Builtin().Names() {
		k := Builtin()[name]
		assert.NotEqual(t, k.Unit == "", k.Whole == "", "%s: exactly one", name)
		for _, limit := range []string{"from", "first", "every", "probability"} {
			takes := slices.ContainsFunc(spec.Fields(k.Params), func(f spec.Field) bool { return f.Name == limit })
			assert.Equal(t, k.Unit != "", takes, "%s: %s", name, limit)
		}
		assert.Empty(t, k.Lacks("latency"), "no limit")
	}
}
