package catalog

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// inventory is a fake whose answer a test may change.
type inventory struct {
	url   string
	serve atomic.Pointer[http.HandlerFunc]
	calls atomic.Int32
}

func newInventory(t *testing.T) *inventory {
	i := &inventory{}
	i.answer(stocked)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.calls.Add(1)
		(*i.serve.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *inventory) answer(f http.HandlerFunc) { i.serve.Store(&f) }

func stocked(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"sku":%q,"available":7}`, strings.TrimPrefix(r.URL.Path, "/stock/"))
}

func down(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

func (i *inventory) env(h *service.Host) map[string]string {
	env := storetest.Env(h)
	env["INVENTORY_URL"], env["NATS_URL"] = i.url, "127.0.0.1:1"
	return env
}

func show(t *testing.T, url string) Product {
	code, body := servicetest.Get(t, url)
	require.Equal(t, 200, code, body)
	var p Product
	require.NoError(t, json.Unmarshal([]byte(body), &p))
	return p
}

func TestProducts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := servicetest.Start(t, Setup, newInventory(t).env(h))
		for path, want := range map[string]struct {
			code int
			body string
		}{
			"/products/tea":   {200, `{"sku":"tea","title":"Tea, 100 g","price_cents":1999,"stock":7,"version":"v1"}`},
			"/products/yacht": {200, `{"sku":"yacht","title":"Yacht, used","price_cents":5000000,"stock":7,"version":"v1"}`},
			"/products/gold":  {404, ""},
			"/products/a%20b": {400, ""},
		} {
			code, body := servicetest.Get(t, url+path)
			assert.Equal(t, want.code, code, path)
			if want.body != "" {
				assert.JSONEq(t, want.body, body, path)
			}
		}
		code, body := servicetest.Get(t, url+"/products")
		assert.Equal(t, 200, code)
		var list struct{ Products []Product }
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		assert.Len(t, list.Products, 6)
	})
}

// TestStockStale: without inventory a page shows the last stock, marked, or none.
func TestStockStale(t *testing.T) {
	i := newInventory(t)
	url := servicetest.Start(t, Setup, i.env(servicetest.Host(t)))
	assert.Equal(t, 7, *show(t, url+"/products/tea").Stock)

	i.answer(down)
	require.Eventually(t, func() bool { return show(t, url+"/products/tea").Stale }, 5*time.Second, 20*time.Millisecond)
	p := show(t, url+"/products/tea")
	assert.Equal(t, 7, *p.Stock)
	assert.Empty(t, p.Partial)
	p = show(t, url+"/products/coffee") // never seen before
	assert.Nil(t, p.Stock)
	assert.Equal(t, []string{"stock"}, p.Partial)
	assert.Positive(t, p.Price)

	i.answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"sku":"cocoa"}`) })
	require.Eventually(t, func() bool { // when the breaker has closed again
		return assert.ObjectsAreEqual([]string{"stock"}, show(t, url+"/products/cocoa").Partial)
	}, 5*time.Second, 20*time.Millisecond, "no number is not zero")

	i.answer(stocked)
	require.Eventually(t, func() bool { return !show(t, url+"/products/tea").Stale }, 10*time.Second, 20*time.Millisecond, "recovers")
}

// TestFlush: after a flush under load one request loads and the others wait; with
// D27 each of them goes to inventory.
func TestFlush(t *testing.T) {
	const readers = 20
	loads := func(t *testing.T, defects ...string) int {
		i := newInventory(t)
		url := servicetest.Start(t, Setup, i.env(servicetest.Host(t)), defects...)
		show(t, url+"/products/tea")
		release := make(chan struct{})
		i.answer(func(w http.ResponseWriter, r *http.Request) { <-release; stocked(w, r) })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url+"/cache", http.NoBody)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 204, resp.StatusCode)

		i.calls.Store(0)
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() { show(t, url+"/products/tea") })
		}
		require.Eventually(t, func() bool { return i.calls.Load() > 0 }, 5*time.Second, time.Millisecond)
		if len(defects) > 0 {
			require.Eventually(t, func() bool { return i.calls.Load() > readers/2 }, 250*time.Millisecond, time.Millisecond)
		}
		close(release)
		wg.Wait()
		return int(i.calls.Load())
	}
	assert.LessOrEqual(t, loads(t), 2, "one load, and perhaps one for who came after it")
	assert.Greater(t, loads(t, "D27"), readers/2)
}

// TestBadRelease: the canary that the gateway has to find out.
func TestBadRelease(t *testing.T) {
	for name, tt := range map[string]struct {
		env   map[string]string
		code  int
		least time.Duration
	}{
		"good":   {nil, 200, 0},
		"faulty": {map[string]string{"SHOP_FAULTY": "100"}, 500, 0},
		"slow":   {map[string]string{"SHOP_SLOW": "50"}, 200, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			env := newInventory(t).env(servicetest.Host(t))
			for k, v := range tt.env {
				env[k] = v
			}
			url := servicetest.Start(t, Setup, env)
			started := time.Now()
			code, _ := servicetest.Get(t, url+"/products/tea")
			assert.Equal(t, tt.code, code)
			assert.GreaterOrEqual(t, time.Since(started), tt.least)
		})
	}
	_, err := number(service.Bare(servicetest.Config(t, map[string]string{"SHOP_FAULTY": "101"})), "SHOP_FAULTY", 100)
	assert.Error(t, err)
}

// TestReadyWithoutInventory: the catalog wants traffic while inventory is down.
func TestReadyWithoutInventory(t *testing.T) {
	i := newInventory(t)
	i.answer(down)
	url := servicetest.Start(t, Setup, i.env(servicetest.Host(t)))
	show(t, url+"/products/tea")
	require.Eventually(t, func() bool {
		code, body := servicetest.Get(t, url+"/readyz")
		return code == 200 && strings.Contains(body, `"name":"inventory","required":false,"state":"down"`)
	}, 5*time.Second, 20*time.Millisecond)
}
