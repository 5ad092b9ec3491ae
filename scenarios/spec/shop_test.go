package spec

import (
	"maps"
	"os"
	"slices"
	"strings"
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
// in that of the processes, and it lacks nothing but the variant that needs programs
// of PostgreSQL.
func TestShopInContainersIsTheShop(t *testing.T) {
	load := func(file string) *System {
		declared, ps := LoadSystem("../../sample-system/" + file)
		require.Empty(t, ps)
		return declared
	}
	processes, containers := load("system.yaml"), load("compose.yaml")
	want := maps.Clone(processes.Spec.Switches)
	delete(want, "postgres")
	certs := maps.Clone(want["identity"].Env)
	certs["SHOP_CERTS"] = "/certs"
	identity := want["identity"]
	identity.Env = certs
	want["identity"] = identity
	assert.Equal(t, want, containers.Spec.Switches)
	assert.Equal(t, processes.Spec.Traces, containers.Spec.Traces)
	for _, switches := range [][]Choice{nil, {{Name: "canary"}, {Name: "autoscale"}}, {{Name: "identity"}}} {
		assertSameShop(t, processes, containers, switches)
	}
	assertComposeProject(t, containers)
}

// assertSameShop compares the two with some switches on.
func assertSameShop(t *testing.T, processesDeclared, containersDeclared *System, switches []Choice) {
	t.Helper()
	processes, ps := processesDeclared.With(switches...)
	require.Empty(t, ps)
	containers, ps := containersDeclared.With(switches...)
	require.Empty(t, ps)
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
}

// assertComposeProject: without a profile of somebody else's the project is the
// shop, with the profile of each variant that the system file has.
func assertComposeProject(t *testing.T, sys *System) {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	var project struct {
		Services map[string]struct {
			Image       string         `yaml:"image"`
			Profiles    []string       `yaml:"profiles"`
			Healthcheck map[string]any `yaml:"healthcheck"`
			Memory      string         `yaml:"mem_limit"`
			CPUs        float64        `yaml:"cpus"`
		} `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(text, &project))
	prometheus, err := os.ReadFile("../../sample-system/observability/prometheus.yml")
	require.NoError(t, err)
	modules, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := strings.Replace(project.Services["prometheus"].Image, "prom/prometheus:v3.", "v0.3", 1)
	assert.Contains(t, string(modules), "github.com/prometheus/prometheus "+version+"\n", "rules and configuration are checked as that version reads them")
	var without []string
	for name, svc := range project.Services {
		assert.NotEmpty(t, svc.Healthcheck, name)
		assert.NotEmpty(t, svc.Memory, name)
		assert.NotZero(t, svc.CPUs, name)
		if len(svc.Profiles) == 0 {
			without = append(without, name)
			assert.Contains(t, string(prometheus), name+":8081", "Prometheus scrapes it")
		}
		if declared, variant := sys.Spec.Services[name]; variant && len(svc.Profiles) > 0 {
			assert.Equal(t, svc.Profiles, []string(declared.When), name)
		}
	}
	containers, ps := sys.With()
	require.Empty(t, ps)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(containers.Spec.Services)), without)
}
