package spec

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
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

// The shop in containers is the shop: whatever its system file has is as it is
// in that of the processes, and it lacks nothing that is there without a switch.
func TestShopInContainersIsTheShop(t *testing.T) {
	plain := func(file string) (declared, run *System) {
		declared, ps := LoadSystem("../../sample-system/" + file)
		require.Empty(t, ps)
		run, ps = declared.With()
		require.Empty(t, ps)
		return declared, run
	}
	declared, processes := plain("system.yaml")
	inContainers, containers := plain("compose.yaml")

	known := func(sys *System) map[string][]string {
		of := map[string][]string{}
		for name, svc := range sys.Spec.Services {
			of[name] = append([]string{svc.Metrics, svc.Ready.HTTP, svc.Port}, svc.Defects...)
		}
		return of
	}
	assert.Equal(t, known(processes), known(containers))
	edges := func(sys *System) (all []Edge) {
		for _, e := range sys.Spec.Edges {
			e.Pos, e.Src = Pos{}, Node{}
			all = append(all, e)
		}
		return all
	}
	assert.Equal(t, edges(processes), edges(containers))
	assert.Equal(t, processes.Spec.Ledger, containers.Spec.Ledger)
	assert.Equal(t, processes.Spec.Defects, containers.Spec.Defects)
	assert.Equal(t, processes.SLOs, containers.SLOs)
	assert.Equal(t, processes.Spec.Alerts, containers.Spec.Alerts)
	for name, one := range inContainers.Spec.Switches {
		assert.Equal(t, declared.Spec.Switches[name], one, name)
	}

	text, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	var project struct {
		Services map[string]struct {
			Profiles    []string       `yaml:"profiles"`
			Healthcheck map[string]any `yaml:"healthcheck"`
			Memory      string         `yaml:"mem_limit"`
			CPUs        float64        `yaml:"cpus"`
		} `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(text, &project))
	prometheus, err := os.ReadFile("../../sample-system/observability/prometheus.yml")
	require.NoError(t, err)
	var without []string
	for name, svc := range project.Services {
		assert.NotEmpty(t, svc.Healthcheck, name)
		assert.NotEmpty(t, svc.Memory, name)
		assert.NotZero(t, svc.CPUs, name)
		if len(svc.Profiles) == 0 {
			without = append(without, name)
			assert.Contains(t, string(prometheus), name+":8081", "Prometheus scrapes it")
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(containers.Spec.Services)), without)
}
