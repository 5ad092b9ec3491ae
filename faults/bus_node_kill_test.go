package faults

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node is one server of a real cluster, and a process in memory in its place.
type node struct {
	memProcess
	name string
	srv  *server.Server
}

func (n *node) Name() string { return n.name }
func (n *node) URL() string  { return n.srv.ClientURL() }

// startCluster runs three nodes with a replicated stream ORDERS.
func startCluster(t *testing.T) (nodes []*node, js jetstream.JetStream) {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		defer l.Close()
		require.NoError(t, l.Close())
	}
	for i, port := range ports {
		n := &node{memProcess: memProcess{id: ProcessID{PID: 100 + i, Start: 1}, state: stateRunning}, name: fmt.Sprintf("nats-%d", i+1)}
		var err error
		n.srv, err = server.NewServer(&server.Options{
			ServerName: n.name, Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Routes: routes, Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port, PoolSize: -1},
		})
		require.NoError(t, err)
		n.srv.Start()
		t.Cleanup(func() { n.srv.Shutdown(); n.srv.WaitForShutdown() })
		nodes = append(nodes, n)
	}
	leads := func(n *node) bool { return n.srv.JetStreamIsLeader() }
	require.Eventually(t, func() bool { return slices.ContainsFunc(nodes, leads) }, 30*time.Second, 10*time.Millisecond)
	conn, err := nats.Connect(nodes[0].URL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err = jetstream.New(conn)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Replicas: 3})
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	return nodes, js
}

func TestBusNodeKill(t *testing.T) {
	nodes, js := startCluster(t)
	meta := nodes[slices.IndexFunc(nodes, func(n *node) bool { return n.srv.JetStreamIsLeader() })].name
	s, err := js.Stream(t.Context(), "ORDERS")
	require.NoError(t, err)
	c := s.CachedInfo().Cluster
	first := slices.MinFunc(c.Replicas, func(a, b *jetstream.PeerInfo) int { return cmp.Compare(a.Name, b.Name) }).Name
	for _, k := range []struct {
		params map[string]any
		says   string
		want   string
	}{
		{nil, "SIGKILL to the leader of the cluster", meta},
		{map[string]any{"stream": "ORDERS"}, "SIGKILL to the leader of stream ORDERS", c.Leader},
		{map[string]any{"stream": "ORDERS", "role": "follower"}, "SIGKILL to the follower of stream ORDERS", first},
	} {
		t.Run(k.says, func(t *testing.T) {
			for _, n := range nodes {
				kind, f := newFault(t, "bus-node-kill", k.params)
				assert.Equal(t, k.says, f.Describe())
				x := Injection{ID: "down", Target: n}
				undo, err := f.Prepare(t.Context(), x)
				require.NoError(t, err)
				require.NoError(t, f.Inject(t.Context(), x))
				e := observe(t, f, x)
				assert.Equal(t, n.name == k.want, e.Active, n.name)
				assert.Equal(t, n.name == k.want, n.state == stateDead, n.name)
				if n.name == k.want {
					assert.Equal(t, []string{fmt.Sprintf("%s pid %d", n.name, n.id.PID)}, e.Receipt.Items)
				}
				before := n.id
				for range 2 {
					require.NoError(t, kind.Revert(t.Context(), x, undo))
				}
				assert.False(t, observe(t, f, x).Active)
				assert.Equal(t, n.name == k.want, n.id != before, "only what was killed is started")
			}
		})
	}
	_, f := newFault(t, "bus-node-kill", map[string]any{"stream": "NONE"})
	_, err = f.Prepare(t.Context(), Injection{Target: nodes[0]})
	assert.ErrorContains(t, err, "stream NONE")
}
