package gateway

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/catalog"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/reviews"
)

// quotes answers shipping.quote on a real bus and returns its address.
func quotes(t *testing.T, answer string) string {
	url := servicetest.Bus(t)
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe("shipping.quote", func(m *nats.Msg) { _ = m.Respond([]byte(answer)) })
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	return url
}

func TestPage(t *testing.T) {
	url := start(t, behind(t, map[string]string{
		"CATALOG_URL": newFake(t, says(200, teaJSON)).URL, "REVIEWS_URL": newFake(t, says(200, reviewsJSON)).URL,
		"NATS_URL": quotes(t, `{"days":2}`),
	}))
	var a answered
	require.Eventually(t, func() bool { // the gateway connects to the bus in the background
		a = ask(t, "GET", url+"/products/tea", "")
		var page Page
		a.decode(t, &page)
		return page.Partial == nil
	}, soon, tick)
	assert.Equal(t, 200, a.code)
	assert.JSONEq(t, `{"product":{"sku":"tea","title":"Tea","price_cents":1999,"version":"v1"},"stock":7,
		"reviews":{"stars":4.5,"reviews":[{"author":"ada","stars":5,"text":"Good."}]},"delivery":{"days":2}}`, a.body)
}

// TestRealPage: the gateway, the catalog and reviews as they are, over the registry.
func TestRealPage(t *testing.T) {
	t.Parallel()
	natsURL := quotes(t, `{"days":1}`)
	inventory := newFake(t, says(200, `{"sku":"tea","available":3}`))
	one := servicetest.StartHost(t, catalog.Setup, named("catalog", servicetest.Config(t, map[string]string{"NATS_URL": natsURL, "INVENTORY_URL": inventory.URL})))
	two := servicetest.StartHost(t, reviews.Setup, named("reviews", servicetest.Config(t, map[string]string{"NATS_URL": natsURL})))
	url := start(t, behind(t, map[string]string{"NATS_URL": natsURL, "CATALOG_URL": one.Addr(), "REVIEWS_URL": two.Addr()}))
	var page Page
	require.Eventually(t, func() bool {
		page = Page{}
		ask(t, "GET", url+"/products/tea", "").decode(t, &page)
		return page.Partial == nil
	}, soon, tick)
	assert.Equal(t, "Tea, 100 g", page.Product.Title)
	assert.EqualValues(t, 1999, page.Product.Price)
	assert.Equal(t, 3, *page.Stock)
	assert.Equal(t, "v1", page.Product.Version)
	assert.Len(t, page.Reviews.Reviews, 2)
	assert.Equal(t, 1, page.Delivery.Days)
	assert.Contains(t, ask(t, "GET", url+"/products", "").body, `"sku":"yacht"`)
	assert.Equal(t, 404, ask(t, "GET", url+"/products/gold", "").code)
	require.Eventually(t, func() bool { // as soon as the registry has told the version
		ask(t, "GET", url+"/products/tea", "")
		return strings.Contains(ask(t, "GET", url+"/metrics", "").body, `gateway_upstream_total{callee="catalog",code="200",version="v1"}`)
	}, soon, tick)
}

func named(name string, cfg service.Config) service.Config {
	cfg.Service, cfg.Name = name, name
	return cfg
}

// TestPageWithoutOptionalParts: a page without reviews is served, soon, and says
// that it is not whole; with D31 it does not say so.
func TestPageWithoutOptionalParts(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]http.HandlerFunc{
		"failed":      says(500, `{"title":"broken"}`),
		"not ours":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>oops", http.StatusBadGateway) },
		"cut off":     truncated(`{"sku":"tea","stars":4.5,"reviews":[`),
		"damaged":     says(200, `{"sku":"tea","stars":4.5,"rev`),
		"incomplete":  says(200, `{"sku":"tea"}`),
		"makes sense": says(200, `{"sku":"tea","stars":45,"reviews":[]}`),
		"lost":        drops,
		"slow":        hangs,
	} {
		t.Run(name, func(t *testing.T) {
			env := behind(t, map[string]string{"CATALOG_URL": newFake(t, says(200, teaJSON)).URL, "REVIEWS_URL": newFake(t, serve).URL})
			began := time.Now()
			a := ask(t, "GET", start(t, env)+"/products/tea", "")
			assert.Less(t, time.Since(began), time.Second)
			assert.Equal(t, 200, a.code)
			var page Page
			a.decode(t, &page)
			assert.Equal(t, "Tea", page.Product.Title)
			assert.Nil(t, page.Reviews)
			assert.ElementsMatch(t, []string{"reviews", "delivery"}, page.Partial)

			a = ask(t, "GET", start(t, env, "D31")+"/products/tea", "")
			assert.Equal(t, 200, a.code)
			assert.NotContains(t, a.body, "partial", "D31: passes for whole")
		})
	}
}

// TestPageNeedsTheProduct: without the product there is no page, whatever its
// answer looks like. With D31 there is one without a price.
func TestPageNeedsTheProduct(t *testing.T) {
	for name, tt := range map[string]struct {
		serve http.HandlerFunc // nil: nobody listens
		code  int
		lies  bool // with D31
	}{
		"nobody listens": {nil, 503, false},
		"no such":        {says(404, `{"title":"no such product"}`), 404, false},
		"failed":         {says(500, `{"title":"broken"}`), 500, true},
		"refused":        {says(503, `{"title":"full"}`), 503, true},
		"cut off":        {truncated(teaJSON), 502, false},
		"damaged":        {says(200, `{"sku":"tea","title":"Te`), 502, true},
		"incomplete":     {says(200, `{"sku":"tea","title":"Tea"}`), 502, true},
	} {
		t.Run(name, func(t *testing.T) {
			env := behind(t, map[string]string{"REVIEWS_URL": newFake(t, says(200, reviewsJSON)).URL})
			if tt.serve != nil {
				env["CATALOG_URL"] = newFake(t, tt.serve).URL
			}
			a := ask(t, "GET", start(t, env)+"/products/tea", "")
			assert.Equal(t, tt.code, a.code, a.body)
			assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
			if tt.lies {
				assert.Equal(t, 200, ask(t, "GET", start(t, env, "D31")+"/products/tea", "").code)
			}
		})
	}
	url := start(t, behind(t, nil))
	assert.Equal(t, 400, ask(t, "GET", url+"/products/a%20b", "").code)
}

// TestStalePage: what was seen before is served while the catalog is down, marked.
func TestStalePage(t *testing.T) {
	catalog := newFake(t, says(200, teaJSON))
	url := start(t, behind(t, map[string]string{"CATALOG_URL": catalog.URL}))
	fresh := ask(t, "GET", url+"/products/tea", "")
	assert.Equal(t, 200, fresh.code)
	assert.Empty(t, fresh.header.Get("Warning"))
	catalog.answer(says(200, `{"products":[`+teaJSON+`]}`))
	assert.Equal(t, 200, ask(t, "GET", url+"/products", "").code)

	catalog.answer(says(503, `{"title":"down"}`))
	for _, path := range []string{"/products/tea", "/products"} {
		a := ask(t, "GET", url+path, "")
		assert.Equal(t, 200, a.code)
		assert.Contains(t, a.body, `"stale":true`)
		assert.NotEmpty(t, a.header.Get("Age"))
		assert.Contains(t, a.header.Get("Warning"), "110")
		assert.Contains(t, a.body, `"price_cents":1999`)
	}
	assert.Equal(t, 503, ask(t, "GET", url+"/products/coffee", "").code, "never seen")

	assert.Equal(t, 204, ask(t, "DELETE", url+"/cache", "").code)
	assert.Equal(t, 503, ask(t, "GET", url+"/products/tea", "").code, "flushed")
}

// TestOneLoadForMany: requests for one page at the same time are one request to
// the catalog; with D27 they are as many.
func TestOneLoadForMany(t *testing.T) {
	const readers = 20
	calls := func(t *testing.T, defects ...string) int {
		release := make(chan struct{})
		catalog := newFake(t, func(w http.ResponseWriter, r *http.Request) { <-release; says(200, teaJSON)(w, r) })
		url := start(t, behind(t, map[string]string{"CATALOG_URL": catalog.URL}), defects...)
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() { assert.Equal(t, 200, ask(t, "GET", url+"/products/tea", "").code) })
		}
		if len(defects) > 0 {
			require.Eventually(t, func() bool { return catalog.calls.Load() > readers/2 }, soon, time.Millisecond)
		} else {
			require.Eventually(t, func() bool { return catalog.calls.Load() > 0 }, soon, time.Millisecond)
		}
		close(release)
		wg.Wait()
		return int(catalog.calls.Load())
	}
	assert.LessOrEqual(t, calls(t), readers/4)
	assert.Greater(t, calls(t, "D27"), readers/2)
}

// TestHedge: a read that one instance is slow to answer is answered by another.
func TestHedge(t *testing.T) {
	t.Parallel()
	slow, quick := newFake(t, hangs), newFake(t, says(200, teaJSON))
	url := start(t, behind(t, map[string]string{"CATALOG_URL": slow.URL + "," + quick.URL}))
	for range 4 {
		began := time.Now()
		a := ask(t, "GET", url+"/products/tea", "")
		assert.Equal(t, 200, a.code, a.body)
		assert.Less(t, time.Since(began), 700*time.Millisecond, "before the timeout")
	}
	assert.Positive(t, slow.calls.Load())
}

// TestBulkheads: what waits for a hanging service takes nothing from the others.
// With D24 all share one pool, and it is used up.
func TestBulkheads(t *testing.T) {
	other := func(t *testing.T, defects ...string) (refused int) {
		release := make(chan struct{})
		orders := newFake(t, func(w http.ResponseWriter, r *http.Request) { <-release; says(200, `{}`)(w, r) })
		catalog := newFake(t, says(200, teaJSON))
		url := start(t, behind(t, map[string]string{"CATALOG_URL": catalog.URL, "ORDERS_URL": orders.URL}), defects...)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(release)
		for range 80 {
			wg.Go(func() { ask(t, "POST", url+"/checkout", good) })
		}
		require.Eventually(t, func() bool { return orders.calls.Load() >= 64 }, soon, tick)
		for range 10 {
			if ask(t, "GET", url+"/products/tea", "").code != 200 {
				refused++
			}
		}
		return refused
	}
	assert.Zero(t, other(t))
	assert.Positive(t, other(t, "D24"))
}
