package inventory

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// start runs inventory on the database of h.
func start(t *testing.T, h *service.Host) string {
	env := storetest.Env(h)
	maps.Copy(env, map[string]string{"NATS_URL": bustest.Start(t)})
	return servicetest.Start(t, Setup, env)
}

func reserve(t *testing.T, url, order, lines string) int {
	t.Helper()
	code, _ := servicetest.Post(t, url+"/reservations", order, fmt.Sprintf(`{"order":%q,"lines":[%s]}`, order, lines))
	return code
}

func stock(t *testing.T, url, sku string) string {
	t.Helper()
	code, body := servicetest.Get(t, url+"/stock/"+sku)
	require.Equal(t, 200, code, body)
	return strings.TrimSpace(body)
}

// TestCommands: each case is a row of commands with the status and the effects
// they must leave in the books.
func TestCommands(t *testing.T) {
	type step struct {
		command string // reserve, reserve-all, commit or release
		code    int
	}
	cases := map[string]struct {
		steps   []step
		effects []int
	}{
		"reserve and commit":           {[]step{{"reserve", 201}, {"commit", 200}}, []int{1}},
		"repeated commands do nothing": {[]step{{"reserve", 201}, {"reserve", 201}, {"commit", 200}, {"commit", 200}}, []int{1}},
		"release once":                 {[]step{{"reserve", 201}, {"release", 200}, {"release", 200}}, []int{1, -1}},
		"release after commit":         {[]step{{"reserve", 201}, {"commit", 200}, {"release", 200}}, []int{1, -1}},
		"release blocks what is late":  {[]step{{"release", 200}, {"reserve", 409}, {"commit", 409}}, []int{}},
		"no commit after release":      {[]step{{"reserve", 201}, {"release", 200}, {"commit", 409}}, []int{1, -1}},
		"out of stock":                 {[]step{{"reserve-all", 201}, {"release", 200}}, []int{1, -1}},
	}
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := start(t, h)
		for name, tt := range cases {
			t.Run(name, func(t *testing.T) {
				order := strings.ReplaceAll(name, " ", "-")
				for _, s := range tt.steps {
					path, body := "/reservations/"+order+"/"+s.command, ""
					switch s.command {
					case "reserve":
						path, body = "/reservations", fmt.Sprintf(`{"order":%q,"lines":[{"sku":"tea","qty":2}]}`, order)
					case "reserve-all":
						path, body = "/reservations", fmt.Sprintf(`{"order":%q,"lines":[{"sku":"rare","qty":%d}]}`, order, initialStock)
					}
					code, answer := servicetest.Post(t, url+path, order, body)
					require.Equal(t, s.code, code, "%s: %s", s.command, answer)
					if s.command == "reserve-all" {
						require.Equal(t, 409, reserve(t, url, "none", `{"sku":"rare","qty":1}`))
					}
				}
				assert.Equal(t, tt.effects, servicetest.Effects(t, url+"/audit/reservations", order))
			})
		}
		assert.Empty(t, servicetest.Effects(t, url+"/audit/reservations", "none"), "a refused reservation has no effect")
	})
}

func TestAllOrNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := start(t, h)
		assert.JSONEq(t, `{"sku":"tea","available":1000000}`, stock(t, url, "tea"))
		require.Equal(t, 201, reserve(t, url, "a", `{"sku":"tea","qty":1},{"sku":"mate","qty":2},{"sku":"tea","qty":3}`))
		assert.JSONEq(t, `{"sku":"tea","available":999996}`, stock(t, url, "tea"), "lines of one article add up")
		assert.JSONEq(t, `{"sku":"mate","available":999998}`, stock(t, url, "mate"))

		require.Equal(t, 409, reserve(t, url, "b", `{"sku":"mate","qty":5},{"sku":"tea","qty":1000000}`))
		assert.JSONEq(t, `{"sku":"mate","available":999998}`, stock(t, url, "mate"), "nothing of a refused order is taken")
		assert.Equal(t, 409, reserve(t, url, "b", `{"sku":"mate","qty":1}`), "refused for good")

		code, _ := servicetest.Post(t, url+"/reservations/a/release", "a", "")
		require.Equal(t, 200, code)
		assert.JSONEq(t, `{"sku":"tea","available":1000000}`, stock(t, url, "tea"))
		assert.JSONEq(t, `{"sku":"mate","available":1000000}`, stock(t, url, "mate"))
	})
}

// TestLastPieces: many want what is there for only some.
func TestLastPieces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := start(t, h)
		require.Equal(t, 201, reserve(t, url, "most", `{"sku":"tea","qty":999996}`))
		var mu sync.Mutex
		codes := map[int]int{}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				code := reserve(t, url, fmt.Sprintf("order-%d", i), `{"sku":"mate","qty":1},{"sku":"tea","qty":1}`)
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		wg.Wait()
		assert.Equal(t, map[int]int{201: 4, 409: 4}, codes)
		assert.JSONEq(t, `{"sku":"tea","available":0}`, stock(t, url, "tea"))
		assert.JSONEq(t, `{"sku":"mate","available":999996}`, stock(t, url, "mate"))
	})
}

func TestBadInput(t *testing.T) {
	url := start(t, servicetest.Host(t))
	for name, tt := range map[string]struct {
		body string
		want int
	}{
		"no lines":      {`{"order":"a","lines":[]}`, 422},
		"no order":      {`{"lines":[{"sku":"tea","qty":1}]}`, 422},
		"nothing of it": {`{"order":"a","lines":[{"sku":"tea","qty":0}]}`, 422},
		"too much":      {`{"order":"a","lines":[{"sku":"tea","qty":1000001}]}`, 422},
		"bad sku":       {`{"order":"a","lines":[{"sku":"../x","qty":1}]}`, 422},
		"too many":      {`{"order":"a","lines":[` + strings.Repeat(`{"sku":"tea","qty":1},`, 50) + `{"sku":"tea","qty":1}]}`, 422},
		"unknown field": {`{"order":"a","sku":"tea"}`, 400},
		"no json":       {`tea`, 400},
		"oversized":     {`{"order":"` + strings.Repeat("a", service.MaxBody) + `"}`, 413},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := servicetest.Post(t, url+"/reservations", "a", tt.body)
			assert.Equal(t, tt.want, code, body)
		})
	}
	code, _ := servicetest.Get(t, url+"/stock/..%2fx")
	assert.Equal(t, 422, code)
	code, _ = servicetest.Post(t, url+"/reservations/-/commit", "a", "")
	assert.Equal(t, 422, code)
}

func TestExpiryReleasesForgottenReservations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db, err := store.Open(h, "inventory", schema)
		require.NoError(t, err)
		s := &shelf{db: db}
		for _, order := range []string{"forgotten", "kept"} {
			_, err := s.reserve(t.Context(), ReserveRequest{order, []Line{{"tea", 1}, {"mate", 2}}})
			require.NoError(t, err)
		}
		_, err = s.commit(t.Context(), "kept")
		require.NoError(t, err)

		e := &expiry{shelf: s}
		n, err := e.expire(t.Context(), time.Now().Add(-time.Minute))
		require.NoError(t, err)
		assert.Zero(t, n, "not old enough")
		n, err = e.expire(t.Context(), time.Now().Add(time.Minute))
		require.NoError(t, err)
		assert.Equal(t, 1, n, "committed ones stay")
		_, err = s.commit(t.Context(), "forgotten")
		require.Error(t, err)
		left, err := available(t.Context(), db, "mate")
		require.NoError(t, err)
		assert.EqualValues(t, initialStock-2, left)
	})
}

func FuzzReserveRequest(f *testing.F) {
	f.Add(`{"order":"a","lines":[{"sku":"tea","qty":1}]}`)
	f.Add(`{"order":"a","lines":[{"sku":"tea","qty":9223372036854775807},{"sku":"tea","qty":1}]}`)
	f.Add(`{"order":"a","lines":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		var req ReserveRequest
		if service.DecodeJSON(strings.NewReader(body), &req) != nil || !req.valid() {
			return
		}
		var total, of int64
		for _, l := range req.Lines {
			total += l.Qty
		}
		for _, l := range sum(req.Lines) {
			of += l.Qty
		}
		if total != of || total <= 0 {
			t.Errorf("%d pieces became %d", total, of)
		}
	})
}
