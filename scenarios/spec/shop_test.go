package spec

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Variants of the shop can be combined: with PostgreSQL no service that has its
// data there otherwise falls back to a file of its own.
func TestShopVariantsCombine(t *testing.T) {
	declared, ps := LoadSystem("../../sample-system/system.yaml")
	require.Empty(t, ps)
	databases := func(switches ...string) map[string]string {
		var chosen []Choice
		for _, s := range switches {
			chosen = append(chosen, Choice{Name: s})
		}
		sys, ps := declared.With(chosen...)
		require.Empty(t, ps)
		of := map[string]string{}
		for _, e := range sys.Spec.Edges {
			if e.Env == "SHOP_DB" {
				of[e.Caller] = e.Protocol
			}
		}
		return of
	}
	assert.Empty(t, databases("canary", "autoscale"))
	assert.NotContains(t, databases("postgres"), "catalog-canary")
	all := databases("canary", "autoscale", "postgres")
	for _, of := range []string{"catalog-1", "catalog-2", "catalog-canary", "autoscaler"} {
		assert.Equal(t, "postgres", all[of], of)
	}
}
