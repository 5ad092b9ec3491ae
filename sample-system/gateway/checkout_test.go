package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

const good = `{"items":[{"sku":"tea","qty":1}],"customer":"ada"}`

func TestCheckoutPassesTheOperationOn(t *testing.T) {
	var got *http.Request
	var body []byte
	orders := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		says(http.StatusConflict, `{"status":"cancelled"}`)(w, r)
	})
	url := start(t, behind(t, map[string]string{"ORDERS_URL": orders.URL}))
	code, answer := servicetest.Post(t, url+"/checkout", "op-1", good)
	assert.Equal(t, 409, code)
	assert.Equal(t, `{"status":"cancelled"}`, answer)
	assert.Equal(t, "op-1", got.Header.Get("X-Request-Id"))
	assert.Equal(t, "op-1", got.Header.Get("Idempotency-Key"))
	assert.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$`, got.Header.Get("traceparent"))
	assert.JSONEq(t, `{"id":"op-1","items":[{"sku":"tea","qty":1}],"customer":"ada"}`, string(body))
}

// TestLostAnswers: without an answer the status says what is known.
func TestLostAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		serve http.HandlerFunc // nil: nobody listens
		code  int
		body  string
	}{
		"nobody listens": {nil, 503, `"executed":false`},
		"refused":        {says(503, `{"status":503,"title":"full","executed":false}`), 503, `"executed":false`},
		"answer lost":    {drops, 502, "unknown"},
		"answer cut":     {truncated(`{"id":`), 502, "unknown"},
		"answer damaged": {says(201, `{"id":`), 502, "damaged"},
		"not ours": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<h1>oops", http.StatusInternalServerError)
		}, 500, `"title":"orders failed"`},
		"no answer":       {hangs, 504, "unknown"},
		"answer in full":  {says(201, `{"status":"confirmed"}`), 201, "confirmed"},
		"a final refusal": {says(402, `{"status":"cancelled"}`), 402, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			env := behind(t, nil)
			if tt.serve != nil {
				env["ORDERS_URL"] = newFake(t, tt.serve).URL
			}
			h := servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
				quick := orderPolicy
				quick.Timeout = 100 * time.Millisecond
				u, err := newUpstream(h, nil, &deploys{}, "orders", quick)
				h.Handle("POST /checkout", (&shop{orders: u, integrity: newIntegrity(h)}).handleCheckout)
				return err
			}, config(t, env))
			code, body := servicetest.Post(t, "http://"+h.Addr()+"/checkout", "op", good)
			assert.Equal(t, tt.code, code, body)
			assert.Contains(t, body, tt.body)
		})
	}
}

// TestCommandsAreNotRepeated: orders repeats each of its steps; the gateway on top
// of that would multiply the attempts. With D03 it does.
func TestCommandsAreNotRepeated(t *testing.T) {
	for _, tt := range []struct {
		defects []string
		calls   int32
	}{{nil, 1}, {[]string{"D03"}, 3}} {
		orders := newFake(t, says(503, `{"status":"cancelled"}`))
		url := start(t, behind(t, map[string]string{"ORDERS_URL": orders.URL}), tt.defects...)
		code, body := servicetest.Post(t, url+"/checkout", "op", good)
		assert.Equal(t, 503, code)
		assert.Equal(t, `{"status":"cancelled"}`, body)
		assert.Equal(t, tt.calls, orders.calls.Load(), "%v", tt.defects)
	}
}

func TestOrderRoutes(t *testing.T) {
	orders := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		says(200, `{"orders":"`+r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+strings.ReplaceAll(string(body), `"`, `'`)+`"}`)(w, r)
	})
	url := start(t, behind(t, map[string]string{"ORDERS_URL": orders.URL, "HISTORY_URL": orders.URL}))
	for _, tt := range []struct {
		method, path, want string
		code               int
	}{
		{"GET", "/orders/o1", `{"orders":"GET /orders/o1  "}`, 200},
		{"POST", "/orders/o1/cancel", `{"orders":"POST /orders/o1/cancel o1.cancel {'customer':''}"}`, 200},
		{"GET", "/customers/ada/orders", `{"orders":"GET /customers/ada/orders  "}`, 200},
		{"GET", "/orders/a%20b", "", 400},
		{"POST", "/orders/a%20b/cancel", "", 400},
		{"GET", "/customers/a%20b/orders", "", 422},
		{"GET", "/nowhere", "", 404},
		{"DELETE", "/checkout", "", 405},
	} {
		a := ask(t, tt.method, url+tt.path, "")
		assert.Equal(t, tt.code, a.code, tt.path)
		if tt.want != "" {
			assert.Equal(t, tt.want, a.body)
		} else {
			assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"), tt.path)
		}
	}
}

func TestCheckoutRefusesBadInput(t *testing.T) {
	url := start(t, behind(t, nil))
	for name, tt := range map[string]struct {
		key, body string
		code      int
	}{
		"no json":       {"a", "tea please", 400},
		"unknown field": {"a", `{"items":[],"colour":"red"}`, 400},
		"too large":     {"a", `{"customer":"` + strings.Repeat("x", 9000) + `"}`, 413},
		"no items":      {"a", `{"items":[],"customer":"ada"}`, 422},
		"many items":    {"a", `{"items":[` + strings.Repeat(`{"sku":"tea","qty":1},`, 20) + `{"sku":"tea","qty":1}],"customer":"ada"}`, 422},
		"no sku":        {"a", `{"items":[{"qty":1}],"customer":"ada"}`, 422},
		"too many":      {"a", `{"items":[{"sku":"tea","qty":101}],"customer":"ada"}`, 422},
		"twice":         {"a", `{"items":[{"sku":"tea","qty":1},{"sku":"tea","qty":1}],"customer":"ada"}`, 422},
		"nobody":        {"a", `{"items":[{"sku":"tea","qty":1}]}`, 422},
		"bad customer":  {"a", `{"items":[{"sku":"tea","qty":1}],"customer":"a b"}`, 422},
		"bad key":       {"a b", good, 400},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := servicetest.Post(t, url+"/checkout", tt.key, tt.body)
			assert.Equal(t, tt.code, code, body)
		})
	}
}

func FuzzDecodeCheckout(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"items":[{"sku":1}]}`))
	f.Add([]byte(good + good))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCheckout(bytes.NewReader(data))
		if err != nil {
			return
		}
		if len(c.Items) == 0 || len(c.Items) > maxItems {
			t.Fatalf("accepted %q as %+v", data, c)
		}
		for _, item := range c.Items {
			if !service.ValidID(item.SKU) || item.Qty < 1 || item.Qty > 100 {
				t.Fatalf("accepted %q as %+v", data, c)
			}
		}
	})
}
