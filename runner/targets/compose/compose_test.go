package compose

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

func FuzzLead(f *testing.F) {
	f.Add("postgres://u:p@db:5432/app")
	f.Fuzz(func(t *testing.T, value string) {
		if led, err := Lead(value, "db", "p:1"); err == nil {
			assert.Contains(t, led, "p:1")
		}
	})
}
