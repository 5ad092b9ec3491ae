// Package bustest runs real NATS servers with JetStream inside a test.
package bustest

import (
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// startTimeout bounds how long servers may take to serve JetStream.
// Elections take seconds, and more of them where votes are split.
const startTimeout = time.Minute

// Start runs one server until the test ends and returns its URL. Streams on it
// have one replica.
func Start(t testing.TB) string {
	s := start(t, options(t, "single"))
	require.True(t, s.ReadyForConnections(startTimeout))
	return s.ClientURL()
}

// Cluster is three servers that hold each stream three times.
type Cluster struct {
	URL string // of all nodes, comma-separated

	t     testing.TB
	opts  []*server.Options
	nodes []*server.Server
}

// StartCluster runs three servers until the test ends.
func StartCluster(t testing.TB) *Cluster {
	c := &Cluster{t: t}
	ports := FreePorts(t, 6)
	var routes []*url.URL
	for _, port := range ports[:3] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	var urls []string
	for i := range 3 {
		o := options(t, "node-"+strconv.Itoa(i))
		o.Port, o.Routes = ports[3+i], routes
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i], NoAdvertise: true, PoolSize: -1}
		c.opts, c.nodes = append(c.opts, o), append(c.nodes, start(t, o))
		urls = append(urls, "nats://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	}
	c.URL = strings.Join(urls, ",")
	c.waitReady()
	return c
}

// Stop ends node i, from 0, as if it had crashed for the others.
func (c *Cluster) Stop(i int) {
	c.nodes[i].Shutdown()
	c.nodes[i].WaitForShutdown()
}

// Restart starts a stopped node again, with its data and addresses.
func (c *Cluster) Restart(i int) {
	c.nodes[i] = start(c.t, c.opts[i])
	c.waitReady()
}

// StreamLeader is the node that leads a stream, from 0; -1 for none.
func (c *Cluster) StreamLeader(stream string) int {
	for i, s := range c.nodes {
		if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return i
		}
	}
	return -1
}

// Follower is a node, from 0, that leads neither a stream nor any of its
// consumers that are given: it can go without an election, which takes seconds.
func (c *Cluster) Follower(stream string, consumers ...string) int {
	for i, s := range c.nodes {
		leads := s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream)
		for _, name := range consumers {
			leads = leads || s.JetStreamIsConsumerLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream, name)
		}
		if s.Running() && !leads {
			return i
		}
	}
	require.Fail(c.t, "each node leads something", "stream %s, consumers %v", stream, consumers)
	return -1
}

func (c *Cluster) waitReady() {
	require.Eventually(c.t, func() bool {
		for _, s := range c.nodes {
			if s.Running() && s.Healthz(&server.HealthzOptions{JSMetaOnly: true}).StatusCode != 200 {
				return false
			}
		}
		return true
	}, startTimeout, 5*time.Millisecond, "the cluster has no leader")
}

func options(t testing.TB, name string) *server.Options {
	return &server.Options{
		ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: filepath.Join(t.TempDir(), name), JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 2 << 30,
		NoSigs: true, NoLog: true,
	}
}

// start runs a server on a copy of the options, for it changes them.
func start(t testing.TB, o *server.Options) *server.Server {
	s, err := server.NewServer(o.Clone())
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// FreePorts are n ports of 127.0.0.1 that nobody listened on just now, for
// servers that must know each other's before they start. They lie below those
// that the kernel gives to connections: none takes one meanwhile.
func FreePorts(t testing.TB, n int) []int {
	const lowest, ephemeral, tries = 10000, 32768, 200
	var free []int
	for range tries {
		port := lowest + rand.IntN(ephemeral-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close()
		if free = append(free, port); len(free) == n {
			return free
		}
	}
	require.Fail(t, "no free ports")
	return nil
}
