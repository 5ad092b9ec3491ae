package importer

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

// Whatever an experiment is, the result is a scenario file that can be read.
func FuzzChaosToolkit(f *testing.F) {
	for _, file := range []string{"shop.json", "shop.yaml", "lost.json"} {
		src, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(src)
	}
	declared, problems := spec.LoadSystem("testdata/system/system.yaml")
	require.Empty(f, problems)
	sys, problems := declared.With()
	require.Empty(f, problems)
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := ChaosToolkit(src, Options{Name: "fuzz", System: sys, SystemFile: "system.yaml", Script: "load.js", Edges: map[string]string{"bank": "payments -> bank"}})
		if err != nil {
			return
		}
		_, problems := spec.Parse("fuzz.yaml", r.Scenario)
		for _, p := range problems {
			assert.NotContains(t, p.Msg, "not YAML", "%s", r.Scenario)
		}
	})
}
