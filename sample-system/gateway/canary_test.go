package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// release is a version of the catalog that a test may spoil.
type release struct {
	version string
	calls   atomic.Int32
	broken  atomic.Bool
	slow    atomic.Int64 // milliseconds
}

func (v *release) serve(w http.ResponseWriter, r *http.Request) error {
	v.calls.Add(1)
	if err := backoff.Wait(r.Context(), time.Duration(v.slow.Load())*time.Millisecond, nil); err != nil {
		return err
	}
	if v.broken.Load() {
		return service.Problem{Status: 500, Title: "broken release"}
	}
	stock := 7
	return service.WriteJSON(w, 200, offer{Product: Product{SKU: r.PathValue("sku"), Title: "Tea", Price: 1999, Version: v.version}, Stock: &stock})
}

// stage is a gateway in front of two versions of the catalog, with a real
// registry.
type stage struct {
	url    string
	bus    string
	env    map[string]string
	v1, v2 *release
}

func newStage(t *testing.T, defects ...string) *stage {
	s := &stage{bus: servicetest.Bus(t), v1: &release{version: "v1"}, v2: &release{version: "v2"}}
	one := instance(t, s.bus, "catalog-1", "v1", s.v1.serve, "GET /products/{sku}")
	instance(t, s.bus, "catalog-canary", "v2", s.v2.serve, "GET /products/{sku}")
	s.env = behind(t, map[string]string{"NATS_URL": s.bus, "CATALOG_URL": one.Addr(), "SHOP_RATE": "100000"})
	s.url = start(t, s.env, defects...)
	s.await(t, s.url)
	return s
}

// await waits until a gateway knows the canary and can decide.
func (s *stage) await(t *testing.T, url string) {
	require.Eventually(t, func() bool {
		return ask(t, "PUT", url+"/deploys/catalog", `{"canary":{"version":"v2","weight":1}}`).code == 200 &&
			ask(t, "PUT", url+"/deploys/catalog", `{"canary":{"version":"v2","weight":0}}`).code == 200
	}, soon, tick)
	s.v2.calls.Store(0)
}

func (s *stage) deploy(t *testing.T, body string) {
	a := ask(t, "PUT", s.url+"/deploys/catalog", body)
	require.Equal(t, 200, a.code, a.body)
}

func state(t *testing.T, url string) State {
	var all struct{ Services map[string]State }
	ask(t, "GET", url+"/deploys", "").decode(t, &all)
	return all.Services["catalog"]
}

// drive asks for n pages of five products, of which one load at a time is under
// way each; all must be good.
func (s *stage) drive(t *testing.T, n int) {
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			for range n / 5 {
				a := ask(t, "GET", fmt.Sprint(s.url, "/products/sku-", i), "")
				assert.Equal(t, 200, a.code, a.body)
			}
		})
	}
	wg.Wait()
}

func TestCanaryShare(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.drive(t, 50)
	assert.Zero(t, s.v2.calls.Load(), "a dark version gets nothing")
	s.deploy(t, `{"canary":{"version":"v2","weight":30}}`)
	s.drive(t, 300)
	assert.InDelta(t, 90, s.v2.calls.Load(), 45)
	assert.Equal(t, 30, state(t, s.url).Canary.Weight, "a good one stays")
}

// TestCanaryRollback: a failing or slow canary loses its share by itself, and no
// user sees an error of it. With D37 a failing one keeps it.
func TestCanaryRollback(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil   func(*release)
		weight  string
		defects []string
		stays   bool
	}{
		"fails":      {func(v *release) { v.broken.Store(true) }, "10", nil, false},
		"fails, D37": {func(v *release) { v.broken.Store(true) }, "5", []string{"D37"}, true},
		"slow":       {func(v *release) { v.slow.Store(400) }, "50", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tt.defects...)
			tt.spoil(s.v2)
			s.drive(t, 20) // what the live version usually takes
			s.deploy(t, `{"canary":{"version":"v2","weight":`+tt.weight+`}}`)
			if tt.stays {
				require.Eventually(t, func() bool { s.drive(t, 10); return s.v2.calls.Load() > canaryMinCalls }, 2*soon, time.Millisecond)
				for began := time.Now(); time.Since(began) < 3*canaryInterval; {
					s.drive(t, 10)
				}
				assert.Equal(t, 5, state(t, s.url).Canary.Weight)
				return
			}
			require.Eventually(t, func() bool {
				s.drive(t, 5)
				return state(t, s.url).Canary.Weight == 0
			}, 2*soon, time.Millisecond)
			got := state(t, s.url)
			assert.Equal(t, "v2", got.Canary.Version)
			assert.Equal(t, "gateway", got.By)
			assert.Contains(t, got.Reason, "v2")

			calls := s.v2.calls.Load()
			s.drive(t, 50)
			assert.Equal(t, calls, s.v2.calls.Load(), "nothing more for the canary")
			require.Eventually(t, func() bool { // the books are the shared store's
				var rows []audit.Row
				ask(t, "GET", s.url+"/audit/deploys", "").decode(t, &rows)
				last := rows[len(rows)-1]
				return last.Key == "deploy.catalog" && last.Attrs["weight"] == "0" && last.Attrs["by"] == "gateway"
			}, soon, tick)
			metrics := ask(t, "GET", s.url+"/metrics", "").body
			assert.Contains(t, metrics, `gateway_rollbacks_total{callee="catalog",kind="canary"} 1`)
			assert.Contains(t, metrics, `gateway_deploy_weight{callee="catalog",version="v2"} 0`)
		})
	}
}

// TestCanaryGoneAway: a canary that is not there costs no request.
func TestCanaryGoneAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := ask(t, "PUT", s.url+"/deploys/catalog", `{"canary":{"version":"v9","weight":10}}`)
	assert.Equal(t, 409, a.code)
	s.deploy(t, `{"canary":{"version":"v9","weight":0}}`) // may be written down for later
	s.drive(t, 20)
}

// TestJudge: what is needed to condemn a canary.
func TestJudge(t *testing.T) {
	fine, bad := outcome{took: 5 * time.Millisecond}, outcome{failed: true, took: 5 * time.Millisecond}
	late := outcome{took: 300 * time.Millisecond}
	times := func(n int, o outcome) []outcome {
		all := make([]outcome, n)
		for i := range all {
			all[i] = o
		}
		return all
	}
	for name, tt := range map[string]struct {
		canary, live []outcome
		bad          bool
	}{
		"nothing yet":           {nil, nil, false},
		"too few":               {times(19, bad), times(100, fine), false},
		"one of twenty":         {append(times(19, fine), bad), times(100, fine), false},
		"two of twenty":         {append(times(18, fine), times(2, bad)...), times(100, fine), true},
		"both fail":             {times(20, bad), times(100, bad), true},
		"live fails":            {times(20, fine), times(100, bad), false},
		"slow, too few":         {append(times(20, fine), times(19, late)...), times(100, fine), false},
		"slow":                  {times(50, late), times(100, fine), true},
		"a stall of the box":    {append(times(96, fine), times(4, late)...), times(1000, fine), false},
		"some are slow":         {append(times(95, fine), times(5, late)...), times(1000, fine), true},
		"the live one is too":   {times(50, late), times(100, late), false},
		"the live one at times": {times(20, late), append(times(95, fine), times(5, late)...), true},
		"half of it, as before": {append(times(26, fine), times(24, late)...), append(times(80, fine), times(20, late)...), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSplit(servicetest.Host(t), nil, "catalog")
			for _, o := range tt.canary {
				s.observe("v2", o)
			}
			for _, o := range tt.live {
				s.observe("v1", o)
			}
			assert.Equal(t, tt.bad, s.judge("v2", "v1") != "")
		})
	}
}
