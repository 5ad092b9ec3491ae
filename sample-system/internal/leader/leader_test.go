package leader

import (
	"context"
	"flag"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
)

const (
	within = 2 * leaseTime
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

// candidate is one instance in the election.
type candidate struct {
	*Election
	host *service.Host
	stop func()

	mu     sync.Mutex
	frozen time.Time // zero: its clock runs
}

func (c *candidate) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen.IsZero() {
		return time.Now()
	}
	return c.frozen
}

func (c *candidate) freeze(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = at
}

func stand(t *testing.T, name, natsURL string, defects ...string) *candidate {
	c := &candidate{}
	cfg := servicetest.Config(t, map[string]string{"NATS_URL": natsURL}, defects...)
	cfg.Name = name
	c.host, c.stop = servicetest.Run(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		c.Election = elect(h, b, "relay", c.now)
		return nil
	}, cfg)
	c.stop = sync.OnceFunc(c.stop)
	t.Cleanup(c.stop)
	return c
}

func (c *candidate) leads() bool {
	_, leading := c.Term()
	return leading
}

// waitLeader returns who leads, and the term.
func waitLeader(t *testing.T, patience time.Duration, among ...*candidate) (leader *candidate, term int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, c := range among {
			if n, leading := c.Term(); leading {
				leader, term = c, n
				return true
			}
		}
		return false
	}, patience, tick, "nobody leads")
	return leader, term
}

// TestOneLeads at any time, and each new one in a later term. One that is stopped
// in good order is replaced at once.
func TestOneLeads(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	all := []*candidate{stand(t, "a", natsURL), stand(t, "b", natsURL), stand(t, "c", natsURL)}
	var last int64
	for len(all) > 0 {
		leader, term := waitLeader(t, 2*time.Second, all...)
		assert.Greater(t, term, last)
		last = term
		assert.InDelta(t, 1, servicetest.Metric(t, leader.host, "leader_leading"), 0)
		assert.InDelta(t, term, servicetest.Metric(t, leader.host, "leader_term"), 0)
		leader.stop()
		assert.False(t, leader.leads())
		rest := all[:0:0]
		for _, c := range all {
			if c != leader {
				rest = append(rest, c)
			}
		}
		all = rest
	}
}

// TestTermsOutliveTheBus: they rise also across a restart of all of it.
func TestTermsOutliveTheBus(t *testing.T) {
	t.Parallel()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	var last int64
	for range 2 {
		ns, err := server.NewServer(opts.Clone())
		require.NoError(t, err)
		ns.Start()
		require.True(t, ns.ReadyForConnections(10*time.Second))
		opts.Port = ns.Addr().(*net.TCPAddr).Port
		c := stand(t, "a", ns.ClientURL())
		_, term := waitLeader(t, within, c)
		assert.Greater(t, term, last)
		last = term
		c.stop()
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// TestBusLosesItsLeader: soon one candidate leads again, in no earlier term.
func TestBusLosesItsLeader(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	a, b := stand(t, "a", cluster.URL), stand(t, "b", cluster.URL)
	_, before := waitLeader(t, within, a, b)
	node := cluster.StreamLeader("KV_leaders")
	require.GreaterOrEqual(t, node, 0)
	cluster.Stop(node)
	require.Eventually(t, func() bool { next := cluster.StreamLeader("KV_leaders"); return next >= 0 && next != node }, 3*within, tick)
	var after int64
	require.Eventually(t, func() bool {
		n, leadsA := a.Term()
		m, leadsB := b.Term()
		after = max(n, m)
		return leadsA != leadsB
	}, 2*within, tick)
	assert.GreaterOrEqual(t, after, before)
}

// write writes as the leader it believes to be.
func (c *candidate) write(t *testing.T, db *store.DB) error {
	term, leading := c.Term()
	if !leading {
		return ErrFenced
	}
	return db.Tx(t.Context(), func(tx *store.Tx) error {
		if err := Fence(t.Context(), tx, c.name, term); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO writes (term, writer) VALUES (?, ?)`, term, c.host.Name)
		return err
	})
}

// TestPausedLeader: a leader is paused for longer than its lease, with its clock
// as it stood, so that it does not know. It cannot write any more, neither before
// nor after it finds out: each term has one writer. Under D26 it goes on, in the
// term of who leads now.
func TestPausedLeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		defects []string
		writers int64 // of the term with the most
	}{{"clean", nil, 1}, {"D26", []string{defect.NoFencing}, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			natsURL := bustest.Start(t)
			c := bustest.NewCable(t, natsURL)
			a := stand(t, "a", c.Addr, tt.defects...)
			waitLeader(t, within, a)
			db, err := store.Open(servicetest.Host(t), "writes", Schema+`CREATE TABLE IF NOT EXISTS writes (id {{serial}}, term BIGINT, writer TEXT);`)
			require.NoError(t, err)
			require.NoError(t, a.write(t, db))

			c.Cut() // pause
			a.freeze(time.Now())
			b := stand(t, "b", natsURL, tt.defects...)
			_, term := waitLeader(t, within, b)
			require.NoError(t, b.write(t, db))
			assert.True(t, a.leads(), "it cannot know")
			assert.ErrorIs(t, a.write(t, db), ErrFenced)

			a.freeze(time.Time{}) // resume
			c.Heal()
			if tt.defects == nil {
				assert.False(t, a.leads(), "by its own clock")
				require.Eventually(t, func() bool { return a.held() == 0 }, within, tick)
			} else {
				require.Eventually(t, func() bool { n, leading := a.Term(); return leading && n == term }, within, tick)
			}
			for range 3 {
				_ = a.write(t, db)
				require.NoError(t, b.write(t, db))
			}
			var writers int64
			require.NoError(t, db.QueryRow(t.Context(), `SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(DISTINCT writer) AS n FROM writes GROUP BY term) AS w`).Scan(&writers))
			assert.Equal(t, tt.writers, writers)
		})
	}
}

// held is the revision of the lease it holds; 0 when it knows that it has none.
func (c *candidate) held() uint64 {
	c.Election.mu.Lock()
	defer c.Election.mu.Unlock()
	return c.lease.revision
}

// TestCutOffLeaderStops by its own clock before its lease ends, and leads again
// when nobody else has taken over.
func TestCutOffLeaderStops(t *testing.T) {
	t.Parallel()
	natsURL := bustest.Start(t)
	c := bustest.NewCable(t, natsURL)
	a := stand(t, "a", c.Addr)
	_, before := waitLeader(t, within, a)
	c.Cut()
	b := stand(t, "b", natsURL)
	require.Eventually(t, func() bool {
		leads := a.leads()
		assert.False(t, leads && b.leads(), "two at once")
		return !leads
	}, within, tick)
	_, after := waitLeader(t, within, b)
	assert.Greater(t, after, before)
	c.Heal()
	b.stop()
	_, again := waitLeader(t, within, a)
	assert.Greater(t, again, after)
}

func TestFence(t *testing.T) {
	db, err := store.Open(servicetest.Host(t), "fences", Schema)
	require.NoError(t, err)
	for _, step := range []struct {
		name   string
		term   int64
		fenced bool
	}{{"x", 3, false}, {"x", 3, false}, {"x", 5, false}, {"x", 3, true}, {"x", 4, true}, {"y", 1, false}, {"x", 5, false}} {
		err := db.Tx(t.Context(), func(tx *store.Tx) error { return Fence(t.Context(), tx, step.name, step.term) })
		if step.fenced {
			require.ErrorIs(t, err, ErrFenced, "%+v", step)
		} else {
			require.NoError(t, err, "%+v", step)
		}
	}
}

func TestDecode(t *testing.T) {
	for value, want := range map[string]record{
		`{"holder":"a"}`:          {"a", 7},
		`{"holder":"a","term":3}`: {"a", 3},
	} {
		r, err := decode([]byte(value), 7)
		require.NoError(t, err)
		assert.Equal(t, want, r)
	}
	for _, bad := range []string{``, `{}`, `{"holder":"a","term":-1}`, `[]`} {
		_, err := decode([]byte(bad), 7)
		require.ErrorContains(t, err, "read leader", bad)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"holder":"a","term":3}`), uint64(1))
	f.Add([]byte(`{"holder":""}`), uint64(0))
	f.Fuzz(func(t *testing.T, value []byte, revision uint64) {
		r, err := decode(value, revision)
		if err == nil && r.Holder == "" {
			t.Fatalf("accepted %q as %+v", value, r)
		}
	})
}
