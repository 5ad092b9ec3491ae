package process

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/proxy"
	"squall/scenarios/spec"
)

// The target of a link follows from what it speaks and where it leads.
func TestTargetsOfBrokersAndDatabases(t *testing.T) {
	bp := &blueprint{
		Services: []launch{{Name: "orders"}, {Name: "nats-1"}, {Name: "db"}},
		Links: []link{
			{Edge: "orders -> nats-1", Protocol: "nats", Upstream: "127.0.0.1:11"},
			{Edge: "orders -> db", Protocol: "postgres", Upstream: "127.0.0.1:12", Database: &spec.Database{User: "shop", Name: "orders", TLS: "require", PasswordEnv: "SQUALL_TEST_PASSWORD"}},
			{Edge: "nats-1 -> db", Protocol: "postgres", Upstream: "127.0.0.1:12", Database: &spec.Database{User: "shop", Name: "orders", TLS: "disable"}},
		},
	}
	w := &world{bp: bp, links: proxy.NewClient("http://127.0.0.1:1")}
	target := func(name string) faults.Target {
		found, err := w.target(name)
		require.NoError(t, err)
		return found
	}
	node, is := target("nats-1").(faults.Bus)
	require.True(t, is)
	assert.Equal(t, "nats://127.0.0.1:11", node.URL())
	assert.Implements(t, (*faults.Process)(nil), node)
	assert.NotImplements(t, (*faults.Bus)(nil), target("orders"))
	assert.NotImplements(t, (*faults.Bus)(nil), target("db"))

	_, err := target("orders -> db").(faults.Database).DSN()
	assert.EqualError(t, err, "SQUALL_TEST_PASSWORD is not set: it has the password for db")
	t.Setenv("SQUALL_TEST_PASSWORD", "p@ss word")
	dsn, err := target("orders -> db").(faults.Database).DSN()
	require.NoError(t, err)
	assert.Equal(t, "postgres://shop:p%40ss%20word@127.0.0.1:12/orders?sslmode=require", dsn)
	dsn, err = target("nats-1 -> db").(faults.Database).DSN()
	require.NoError(t, err)
	assert.Equal(t, "postgres://shop@127.0.0.1:12/orders?sslmode=disable", dsn)
}
