package spec

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAims(t *testing.T) {
	for text, want := range map[string]Aim{
		"orders":                    {From: []string{"orders"}},
		" orders-2 ":                {From: []string{"orders-2"}},
		"a->b":                      {From: []string{"a"}, To: []string{"b"}},
		"a , b -> c":                {From: []string{"a", "b"}, To: []string{"c"}},
		"a,b|c,d":                   {From: []string{"a", "b"}, To: []string{"c", "d"}, EitherWay: true},
		"*->orders":                 {From: []string{"*"}, To: []string{"orders"}},
		"zone-a | *":                {From: []string{"zone-a"}, To: []string{"*"}, EitherWay: true},
		"client, orders -> catalog": {From: []string{"client", "orders"}, To: []string{"catalog"}},
	} {
		got, err := ParseAim(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := ParseAim(got.String())
		require.NoError(t, err, got.String())
		assert.Equal(t, got, again, "as it is to be written: %s", got)
	}
	for _, text := range []string{"", "*", "a b", "a ->", "-> b", "a -> b -> c", "a | b | c", "a, | b", "a -> b | c", "* -> *", "a, * -> b", "A | b"} {
		_, err := ParseAim(text)
		assert.Error(t, err, text)
	}
}

func TestSidesAndZonesMeanEdges(t *testing.T) {
	s := with(t)
	for aim, want := range map[string][]string{
		"gateway-1, payments -> psp, payments-1": {"gateway-1 -> payments-1", "payments-1 -> psp", "payments-2 -> psp"},
		"psp, bus-1 | payments-2":                {"payments-2 -> psp", "payments-2 -> bus-1"},
		"* -> gateway":                           {"client -> gateway-1", "client -> gateway-2"},
		"bus-1 | *": {
			"payments-1 -> bus-1", "payments-2 -> bus-1", "bus-1 -> bus-2", "bus-1 -> bus-3", "bus-2 -> bus-1", "bus-3 -> bus-1",
		},
		"north | *": {
			"client -> gateway-1", "gateway-2 -> payments-1", "gateway-2 -> payments-2", "payments-1 -> psp", "payments-2 -> psp",
			"bus-1 -> bus-2", "bus-1 -> bus-3", "bus-2 -> bus-1", "bus-3 -> bus-1",
			"payments-1 -> bus-2", "payments-1 -> bus-3", "payments-2 -> bus-2", "payments-2 -> bus-3", "payments-1 -> plain", "payments-2 -> plain",
		},
		"gateway | bus": nil,
		"north":         {"gateway-1", "payments-1", "payments-2", "bus-1"},
	} {
		assert.ElementsMatch(t, want, s.Targets(aim), aim)
	}
}

func TestZonesHoldWhatIsThere(t *testing.T) {
	assert.Equal(t, map[string][]string{"north": {"gateway-1", "payments-1", "payments-2", "bus-1"}}, with(t).Spec.Zones)
	assert.Equal(t, "nothing of it is there", with(t).Absent("guarded"))
	assert.Equal(t, []string{"issuer-1"}, with(t, "identity").Spec.Zones["guarded"])
}

func TestSeveralSwitches(t *testing.T) {
	assert.Equal(t, "it is there only with switch debug", with(t, "identity").Absent("gateway -> bus"))
	assert.Equal(t, "it is there only with switch identity", with(t, "debug").Absent("gateway -> bus"))
	assert.Len(t, with(t, "identity", "debug").EdgesNamed("gateway -> bus"), 6)
	assert.Equal(t, "it is not there with switch other", with(t, "debug", "other").Absent("psp -> bus"))
	assert.Equal(t, "it is not there with switch identity", with(t, "debug", "identity").Absent("psp -> bus"))
	assert.Len(t, with(t, "debug").EdgesNamed("psp -> bus"), 3)
}

// An unknown switch does not hide what else is wrong.
func TestUnknownSwitchStillGivesASystem(t *testing.T) {
	s, ps := declared(t).With(Choice{Name: "identiti"}, Choice{Name: "debug"})
	require.Len(t, ps, 1)
	assert.Contains(t, ps[0].Error(), `has no switch "identiti" (did you mean "identity"?)`)
	require.NotNil(t, s)
	assert.Equal(t, []string{"debug"}, s.Switches)
}
