package registry_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

const (
	lease  = 3 * time.Second
	within = lease + 2*time.Second // bus and scheduler have to do it, too
	tick   = 10 * time.Millisecond
)

// TestMain runs the tests side by side: most of their time they wait for leases
// to end.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func config(t *testing.T, svc, name, natsURL string, env map[string]string, defects ...string) service.Config {
	all := map[string]string{"NATS_URL": natsURL}
	maps.Copy(all, env)
	cfg := servicetest.Config(t, all, defects...)
	cfg.Service, cfg.Name = svc, name
	return cfg
}

// instance runs an instance of payments; stop drains it.
func instance(t *testing.T, name, natsURL string, ready func(context.Context) error) (h *service.Host, stop func()) {
	h, stop = servicetest.Run(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		if ready != nil {
			h.Check("ready", true, ready)
		}
		registry.Register(h, b, h.Addr)
		return nil
	}, config(t, "payments", name, natsURL, nil))
	stop = sync.OnceFunc(stop)
	t.Cleanup(stop)
	return h, stop
}

// client runs a host that knows payments.
func client(t *testing.T, natsURL, addresses string, defects ...string) (*service.Host, *registry.Resolver) {
	var r *registry.Resolver
	h := servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		r = registry.NewResolver(h, b, "payments", addresses)
		assert.Same(t, r, registry.NewResolver(h, b, "payments", addresses))
		return nil
	}, config(t, "orders", "orders-1", natsURL, nil, defects...))
	return h, r
}

func eventually(t *testing.T, r *registry.Resolver, patience time.Duration, names ...string) {
	t.Helper()
	assert.Eventually(t, func() bool { return strings.Join(known(r), " ") == strings.Join(names, " ") }, patience, tick,
		"want %v", names)
}

func known(r *registry.Resolver) (names []string) {
	for _, i := range r.Instances() {
		names = append(names, i.Name)
	}
	return names
}

// entries waits until the registry itself has so many.
func entries(t *testing.T, natsURL string, n int) {
	t.Helper()
	b, err := bus.Dial(natsURL, "test", nil)
	require.NoError(t, err)
	defer b.Close()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		kv, err := b.JetStream.KeyValue(ctx, "registry")
		if err != nil {
			return false
		}
		keys, err := kv.Keys(ctx)
		return len(keys) == n && (err == nil || errors.Is(err, jetstream.ErrNoKeysFound))
	}, within, tick)
}

// TestDeadInstanceLeaves: an instance that has lost the registry, as one that was
// killed has, leaves when its lease has ended. Under D22 it stays.
func TestDeadInstanceLeaves(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	c := bustest.NewCable(t, natsURL)
	instance(t, "payments-1", c.Addr, nil)
	h2, _ := instance(t, "payments-2", natsURL, nil)
	host, r := client(t, natsURL, "")
	_, stale := client(t, natsURL, "", defect.StaleRegistry)
	eventually(t, r, within, "payments-1", "payments-2")
	eventually(t, stale, within, "payments-1", "payments-2")
	c.Cut()
	cut := time.Now()
	eventually(t, r, within, "payments-2")
	assert.Greater(t, time.Since(cut), lease-time.Second-tick, "not before its lease has ended")
	entries(t, natsURL, 1)
	assert.Equal(t, []string{"payments-1", "payments-2"}, known(stale), "D22")
	target, err := r.Pick(nil)
	require.NoError(t, err)
	assert.Equal(t, "http://"+h2.Addr(), target.Base)
	target.Done(nil)
	assert.InDelta(t, 1, servicetest.Metric(t, host, "registry_instances"), 0)
	assert.InDelta(t, 0, servicetest.Metric(t, host, "registry_stale"), 0)
}

// TestDrainingInstanceLeaves: at once, not only when its lease has ended.
func TestDrainingInstanceLeaves(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	_, stop := instance(t, "payments-1", natsURL, nil)
	instance(t, "payments-2", natsURL, nil)
	_, r := client(t, natsURL, "")
	_, stale := client(t, natsURL, "", defect.StaleRegistry)
	eventually(t, r, within, "payments-1", "payments-2")
	eventually(t, stale, within, "payments-1", "payments-2")
	var wg sync.WaitGroup
	wg.Go(stop)
	eventually(t, r, time.Second, "payments-2")
	wg.Wait()
	entries(t, natsURL, 1)
	assert.Equal(t, []string{"payments-1", "payments-2"}, known(stale), "D22")
}

// TestInstanceThatIsNotReady leaves with its lease, and comes back.
func TestInstanceThatIsNotReady(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	var mu sync.Mutex
	var why error
	set := func(err error) { mu.Lock(); defer mu.Unlock(); why = err }
	instance(t, "payments-1", natsURL, func(context.Context) error { mu.Lock(); defer mu.Unlock(); return why })
	instance(t, "payments-2", natsURL, nil)
	_, r := client(t, natsURL, "")
	eventually(t, r, within, "payments-1", "payments-2")
	set(errors.New("no database"))
	eventually(t, r, within+time.Second, "payments-2")
	set(nil)
	eventually(t, r, within, "payments-1", "payments-2")
}

// TestNoMassEviction: when all leases end at once the instances are kept.
func TestNoMassEviction(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	c := bustest.NewCable(t, natsURL)
	instance(t, "payments-1", c.Addr, nil)
	instance(t, "payments-2", c.Addr, nil)
	host, r := client(t, natsURL, "")
	eventually(t, r, within, "payments-1", "payments-2")
	entries(t, natsURL, 2)
	c.Cut()
	entries(t, natsURL, 0)
	require.Eventually(t, func() bool { return servicetest.Metric(t, host, "registry_stale") == 1 }, within, tick)
	assert.Equal(t, []string{"payments-1", "payments-2"}, known(r))
}

// TestRegistryAway: clients go on with what they know, at first the addresses of
// their environment; a registry that comes back without its memory is filled
// again.
func TestRegistryAway(t *testing.T) {
	t.Parallel()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	run := func() *server.Server {
		ns, err := server.NewServer(opts.Clone())
		require.NoError(t, err)
		ns.Start()
		t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
		require.True(t, ns.ReadyForConnections(10*time.Second))
		return ns
	}
	ns := run()
	opts.Port = ns.Addr().(*net.TCPAddr).Port
	natsURL := ns.ClientURL()
	ns.Shutdown()
	ns.WaitForShutdown()

	host, r := client(t, natsURL, "127.0.0.1:1,127.0.0.1:2")
	assert.Equal(t, []string{"payments-1", "payments-2"}, known(r), "the first known set")
	target, err := r.Pick(func(i registry.Instance) bool { return i.Name == "payments-2" })
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:2", target.Base)
	assert.InDelta(t, 1, servicetest.Metric(t, host, "registry_stale"), 0)

	ns = run()
	instance(t, "payments-1", natsURL, nil)
	instance(t, "payments-2", natsURL, nil)
	instance(t, "payments-3", natsURL, nil)
	eventually(t, r, within, "payments-1", "payments-2", "payments-3")
	require.Eventually(t, func() bool { return servicetest.Metric(t, host, "registry_stale") == 0 }, within, tick)

	ns.Shutdown()
	ns.WaitForShutdown()
	require.Eventually(t, func() bool { return servicetest.Metric(t, host, "registry_stale") == 1 }, within, tick)
	assert.Equal(t, []string{"payments-1", "payments-2", "payments-3"}, known(r), "the last known set")

	run()
	_, late := client(t, natsURL, "")
	eventually(t, late, 2*within, "payments-1", "payments-2", "payments-3")
	require.Eventually(t, func() bool { return servicetest.Metric(t, host, "registry_stale") == 0 }, within, tick)
	assert.Equal(t, []string{"payments-1", "payments-2", "payments-3"}, known(r))
}

// TestEndsWithoutTheRegistry: a client whose watch the bus cannot be told to end
// does not wait for it, for 5 s or until its supervisor kills it.
func TestEndsWithoutTheRegistry(t *testing.T) {
	t.Parallel()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	require.NoError(t, err)
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	require.True(t, ns.ReadyForConnections(10*time.Second))
	host, stop := servicetest.Run(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		registry.NewResolver(h, b, "payments", "")
		for i := range 20 { // which of two ends a watch first is chance
			registry.NewResolver(h, b, fmt.Sprintf("other-%d", i), "")
		}
		return nil
	}, config(t, "orders", "orders-1", ns.ClientURL(), nil))
	instance(t, "payments-1", ns.ClientURL(), nil)
	require.Eventually(t, func() bool { return servicetest.Metric(t, host, "registry_stale") == 0 }, within, tick)
	ns.Shutdown()
	ns.WaitForShutdown()
	began := time.Now()
	stop()
	assert.Less(t, time.Since(began), 3*time.Second, "the usual patience before SIGKILL")
}

// TestRegistryLosesANode: nobody is evicted when the node that leads the bucket
// dies, and a dead instance still leaves.
func TestRegistryLosesANode(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	_, stop := instance(t, "payments-1", cluster.URL, nil)
	instance(t, "payments-2", cluster.URL, nil)
	_, r := client(t, cluster.URL, "")
	eventually(t, r, 2*within, "payments-1", "payments-2")
	leader := cluster.StreamLeader("KV_registry")
	require.GreaterOrEqual(t, leader, 0)
	cluster.Stop(leader)
	evicted := false
	require.Eventually(t, func() bool {
		evicted = evicted || len(known(r)) != 2
		next := cluster.StreamLeader("KV_registry")
		return next >= 0 && next != leader
	}, 4*within, tick)
	assert.False(t, evicted)
	entries(t, cluster.URL, 2)
	stop()
	eventually(t, r, within, "payments-2")
}

func TestFixedList(t *testing.T) {
	h := servicetest.Host(t)
	r := registry.NewResolver(h, nil, "payments", "a:1,b:2")
	assert.Equal(t, []string{"payments-1", "payments-2"}, known(r))
	assert.InDelta(t, 0, servicetest.Metric(t, h, "registry_stale"), 0)
}
