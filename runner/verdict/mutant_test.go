package verdict_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

func TestMutants(t *testing.T) {
	sc := scenario(t, "{id: fine, slo: checkout, atLeast: 99%}\n    - {id: opens, breaker: {edge: payments -> psp-primary, opensWithin: 3s, trialCallsAtMost: 3}}\n"+
		"    - {id: back, recovery: {slo: checkout, within: 5s, atLeast: 90%}}\n    - {id: once, ledger: {operation: checkout, accountedBy: [charges], exactlyOnce: true}}")
	var got []string
	for _, m := range verdict.Mutants(sc) {
		got = append(got, m.Assertion+" "+m.Change)
	}
	assert.Equal(t, []string{
		"fine deleted", "fine atLeast 99% limits nothing",
		"opens deleted", "opens opensWithin 3s becomes 50m0s", "opens trialCallsAtMost 3 becomes 3000",
		"back deleted", "back within 5s becomes 1h23m20s", "back atLeast 90% becomes 0.09%",
		"once deleted", "once exactlyOnce true becomes false",
	}, got)
	again := verdict.Mutants(sc)
	assert.Len(t, again, len(got), "making mutants leaves the scenario as it was")
}

// A mutant promises less: what breaks the assertion does not break the mutant.
func TestMutantsPromiseLess(t *testing.T) {
	t.Parallel()
	sc := scenario(t, "{id: x, slo: checkout}\n    - {id: y, slo: checkout, atLeast: 99%}")
	assert.Equal(t, verdict.Fail, find(t, judge(t, sc, failing(5)), "y").Verdict)
	mutants := verdict.Mutants(sc)
	require.Len(t, mutants, 3)
	assert.Equal(t, "y atLeast 99% limits nothing", mutants[2].Assertion+" "+mutants[2].Change)
	assert.Equal(t, verdict.Pass, find(t, judge(t, mutants[2].Scenario, failing(5)), "y").Verdict)
	assert.Equal(t, verdict.Fail, find(t, judge(t, mutants[2].Scenario, failing(5)), "x").Verdict, "only the one assertion")
}

// Every bound that is widened limits nothing, also those that exclude their limit.
func TestWidenedBoundsAreMet(t *testing.T) {
	t.Parallel()
	for _, bound := range []string{"atLeast: 100%", "above: 99.9%", "atMost: 1%", "below: 1%"} {
		sc := scenario(t, "{id: x, slo: checkout, "+bound+"}")
		require.NotEqual(t, verdict.Pass, find(t, judge(t, sc, failing(2)), "x").Verdict, bound)
		mutants := verdict.Mutants(sc)
		require.Len(t, mutants, 2)
		assert.Equal(t, verdict.Pass, find(t, judge(t, mutants[1].Scenario, failing(2)), "x").Verdict, mutants[1].Change)
	}
}
