package app

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/faults"
)

func TestDoctorTellsOfFaults(t *testing.T) {
	kinds := faults.Registry{
		"anywhere": {},
		"here":     {Missing: func() string { return "" }},
		"nowhere":  {Missing: func() string { return "no such kernel" }},
	}
	found := diagnoseFaults(kinds)
	assert.Equal(t, []diagnosis{
		{what: "here", ok: true, spare: true, says: "can be injected here"},
		{what: "nowhere", spare: true, says: "cannot be injected here: no such kernel"},
	}, found)
	assert.Equal(t, "ok", found[0].mark())
	assert.Equal(t, "LACK", found[1].mark(), "no reason to fail")
	assert.Equal(t, "MISS", diagnosis{}.mark())
}
