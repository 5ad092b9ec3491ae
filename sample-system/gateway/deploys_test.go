package gateway

import (
	"bytes"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
)

// TestDeploysAreShared: a decision at one gateway holds at all, those that start
// later too, and survives the death of a node of the bus.
func TestDeploysAreShared(t *testing.T) {
	t.Parallel()
	cluster := bustest.StartCluster(t)
	env := behind(t, map[string]string{"NATS_URL": cluster.URL})
	one, two := start(t, env), start(t, env)
	percent := func(url string) int {
		var all struct{ Migrations map[string]State }
		ask(t, "GET", url+"/deploys", "").decode(t, &all)
		return all.Migrations["profile"].Percent
	}
	move := func(url, body string) {
		require.Eventually(t, func() bool { return ask(t, "PUT", url+"/migrations/profile", body).code == 200 }, 2*soon, tick)
	}
	move(one, `{"percent":30}`)
	assert.Equal(t, 30, percent(one), "at once")
	require.Eventually(t, func() bool { return percent(two) == 30 }, soon, tick)

	cluster.Stop(1)
	move(two, `{"percent":40}`)
	require.Eventually(t, func() bool { return percent(one) == 40 }, 2*soon, tick)
	three := start(t, env)
	require.Eventually(t, func() bool { return percent(three) == 40 }, 2*soon, tick)
}

// TestDecisionsAreOrdered: of many that decide at once each sees the one before.
func TestDecisionsAreOrdered(t *testing.T) {
	env := behind(t, map[string]string{"NATS_URL": bustest.Start(t)})
	d := newDeploysFor(t, env)
	require.Eventually(t, func() bool { _, err := d.store(); return err == nil }, soon, tick)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 5 {
				_, err := d.decide(t.Context(), "deploy.x", func(s *State) bool { s.Percent++; return true })
				for err != nil {
					_, err = d.decide(t.Context(), "deploy.x", func(s *State) bool { s.Percent++; return true })
				}
			}
		})
	}
	wg.Wait()
	s, _ := d.state("deploy.x")
	assert.Equal(t, 15, s.Percent)
	past, err := d.history(t.Context())
	require.NoError(t, err)
	assert.Len(t, past, 15)
}

// TestRollbackWithoutStore: a rollback takes effect while nothing can be written,
// and is written when it can.
func TestRollbackWithoutStore(t *testing.T) {
	t.Parallel()
	server := bustest.Start(t)
	cable := bustest.NewCable(t, server)
	d := newDeploysFor(t, behind(t, map[string]string{"NATS_URL": cable.Addr}))
	other := newDeploysFor(t, behind(t, map[string]string{"NATS_URL": server}))
	require.Eventually(t, func() bool {
		_, err := d.decide(t.Context(), "migration.profile", func(s *State) bool { s.Percent = 50; return true })
		return err == nil
	}, 2*soon, tick)
	percent := func(d *deploys) int { s, _ := d.state("migration.profile"); return s.Percent }
	require.Eventually(t, func() bool { return percent(other) == 50 }, soon, tick)

	cable.Cut()
	d.rollBack("migration.profile", "too many errors", prometheus.NewCounter(prometheus.CounterOpts{}), func(s *State) bool { s.Percent = 0; return true })
	assert.Zero(t, percent(d), "here at once")
	assert.Equal(t, 50, percent(other))

	cable.Heal()
	require.Eventually(t, func() bool { return percent(other) == 0 }, 3*soon, tick)
	s, _ := other.state("migration.profile")
	assert.Equal(t, "too many errors", s.Reason)
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"live":"v2","canary":{"version":"v3","weight":10},"by":"x","reason":"y","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"percent":1000}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(data)
		if err == nil && (s.Percent < 0 || s.Percent > 100 || s.Canary != nil && (s.Canary.Weight < 0 || s.Canary.Weight > 100)) {
			t.Fatalf("accepted %q as %+v", data, s)
		}
	})
}

func FuzzDecodeDeploy(f *testing.F) {
	f.Add([]byte(`{"live":"v2"}`))
	f.Add([]byte(`{"canary":{"version":"v2","weight":10}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDeploy(bytes.NewReader(data))
		if err == nil && (d.Canary == nil) == (d.Live == "") {
			t.Fatalf("accepted %q as %+v", data, d)
		}
	})
}

func FuzzDecodeMigration(f *testing.F) {
	f.Add([]byte(`{"percent":30}`))
	f.Add([]byte(`{"percent":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := decodeMigration(bytes.NewReader(data)); err == nil && (n < 0 || n > 100) {
			t.Fatalf("accepted %q as %d", data, n)
		}
	})
}
