package compose

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

func TestPropose(t *testing.T) {
	file := filepath.Join(t.TempDir(), "docker-compose.yml")
	require.NoError(t, os.WriteFile(file, []byte(`
services:
  web:
    image: web
    ports: ["8080:8080"]
    environment:
      DATABASE_URL: postgres://u:${PASSWORD:-planted}@db:5432/app
      CACHE_HOST: cache
      API_URL: http://api:9000/v1
    depends_on: [queue, db]
  api: {image: api, environment: ["QUEUE=nats://queue:4222"]}
  db: {image: postgres}
  cache: {image: redis, expose: ["6379"]}
  queue: {image: nats}
`), 0o600))
	p, err := Propose(file)
	require.NoError(t, err)
	assert.Equal(t, []ProposedEdge{
		{"api", "queue", "nats", "p4222", "QUEUE", "QUEUE of api names it"},
		{"client", "web", "http", "p8080", "WEB_URL", "it publishes port 8080"},
		{"web", "api", "http", "p9000", "API_URL", "API_URL of web names it"},
		{"web", "cache", "tcp", "p6379", "", "CACHE_HOST of web names it"},
		{"web", "db", "postgres", "p5432", "DATABASE_URL", "DATABASE_URL of web names it"},
		{"web", "queue", "nats", "p4222", "", "web depends on it"},
	}, p.Edges)
	assert.Equal(t, map[string]string{"p5432": "5432"}, p.Services[2].Ports)
	_, err = Propose(filepath.Join(t.TempDir(), "none.yml"))
	require.Error(t, err)
}

func TestLead(t *testing.T) {
	for value, want := range map[string]string{
		"postgres://u:p@db:5432/app?x=1": "postgres://u:p@squall-proxy:20001/app?x=1",
		"http://db":                      "http://squall-proxy:20001",
		"db:5432":                        "squall-proxy:20001",
		"http://a:1,http://db:2":         "http://a:1,http://squall-proxy:20001",
		"http://db.example.com/db-1":     "",
		"mydb:5432":                      "",
		"db":                             "",
	} {
		got, err := Lead(value, "db", "squall-proxy:20001")
		if want == "" {
			assert.Error(t, err, value)
			continue
		}
		require.NoError(t, err, value)
		assert.Equal(t, want, got)
	}
}

// Two callers of one fixed name and port must meet the proxy at two addresses,
// and a caller of two ports of one name at one.
func TestPlace(t *testing.T) {
	f := &File{doc: map[string]any{"services": map[string]any{"a": map[string]any{}, "b": map[string]any{}}}}
	all := []Takeover{{Caller: "a", Host: "db", Port: "5432"}, {Caller: "b", Host: "db", Port: "5432"}, {Caller: "a", Host: "db", Port: "5433"}}
	f.Place(all)
	assert.Equal(t, "default", all[0].Network)
	assert.Equal(t, "squall-2", all[1].Network)
	assert.Equal(t, "default", all[2].Network)
	assert.Equal(t, []string{"default", "squall-2"}, f.Networks("b"), "it is on both")
}

// Of services with profiles those are there that are asked for, by profile or by
// name, and they are ordinary services from then on.
func TestChoose(t *testing.T) {
	f := &File{doc: map[string]any{"services": map[string]any{
		"a": map[string]any{}, "on": map[string]any{"profiles": []any{"tools", "on"}}, "off": map[string]any{"profiles": []any{"off"}},
		"named": map[string]any{"profiles": []any{"off"}},
	}}}
	f.Choose([]string{"on"}, []string{"named"})
	assert.Equal(t, []string{"a", "named", "on"}, f.Names())
	assert.NotContains(t, f.service("on"), "profiles")
	assert.NotContains(t, f.service("named"), "profiles")
}

// The compose file of the shop is one that the tool takes with all its profiles,
// and none of these is started unless it is asked for. Their images cannot be
// had on every machine, so they are not run here.
func TestShopProject(t *testing.T) {
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("docker is not installed")
	}
	declared, problems := spec.LoadSystem("../../../sample-system/compose.yaml")
	require.Empty(t, problems)
	sys, problems := declared.With()
	require.Empty(t, problems)
	tool, err := FindTool(t.Context(), os.Environ())
	require.NoError(t, err)
	f, err := Read(t.Context(), tool, os.Environ(), sys)
	require.NoError(t, err)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(sys.Spec.Services)), f.Names())
	sys.Spec.Compose.Profiles = []string{"observability", "postgres"}
	f, err = Read(t.Context(), tool, os.Environ(), sys)
	require.NoError(t, err)
	for _, name := range []string{"postgres", "prometheus", "grafana", "jaeger"} {
		assert.Contains(t, f.Names(), name)
	}
	assert.True(t, f.Healthy("gateway"))
}

func FuzzLead(f *testing.F) {
	f.Add("postgres://u:p@db:5432/app")
	f.Fuzz(func(t *testing.T, value string) {
		if led, err := Lead(value, "db", "p:1"); err == nil {
			assert.Contains(t, led, "p:1")
		}
	})
}
