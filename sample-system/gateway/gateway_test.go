package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

const good = `{"sku":"tea","qty":1,"amount_cents":5,"customer":"ada"}`

func TestCheckoutPassesTheOperationOn(t *testing.T) {
	var got *http.Request
	var body []byte
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, body = r, read(t, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"status":"cancelled"}`))
	}))
	defer orders.Close()
	url := servicetest.Start(t, Setup, map[string]string{"ORDERS_URL": orders.URL})
	code, answer := servicetest.Post(t, url+"/checkout", "op-1", good)
	assert.Equal(t, 409, code)
	assert.Equal(t, `{"status":"cancelled"}`, answer)
	assert.Equal(t, "op-1", got.Header.Get("X-Request-Id"))
	assert.Equal(t, "op-1", got.Header.Get("Idempotency-Key"))
	assert.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, got.Header.Get("traceparent"))
	assert.JSONEq(t, `{"id":"op-1","sku":"tea","qty":1,"amount_cents":5,"customer":"ada"}`, string(body))
}

func TestLostAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	drop := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer drop.Close()
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		read(t, r.Body)
		<-r.Context().Done()
	}))
	defer hang.Close()

	for name, tt := range map[string]struct {
		orders string
		code   int
		body   string
	}{
		"nobody listens": {nobody, 503, `"executed":false`},
		"answer lost":    {drop.URL, 502, "unknown"},
		"no answer":      {hang.URL, 504, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			url := servicetest.Start(t, func(_ context.Context, h *service.Host) error {
				g := &gateway{orders: call.New(h, "orders", tt.orders), timeout: 50 * time.Millisecond}
				h.Handle("POST /checkout", g.checkout)
				return nil
			}, nil)
			code, body := servicetest.Post(t, url+"/checkout", "op", good)
			assert.Equal(t, tt.code, code)
			assert.Contains(t, body, tt.body)
		})
	}
}

func TestCheckoutRefusesBadInput(t *testing.T) {
	url := servicetest.Start(t, Setup, map[string]string{"ORDERS_URL": "http://127.0.0.1:1"})
	for name, tt := range map[string]struct {
		key, body string
		code      int
	}{
		"no json":        {"a", "tea please", 400},
		"unknown field":  {"a", `{"sku":"tea","colour":"red"}`, 400},
		"too large":      {"a", `{"sku":"` + strings.Repeat("x", 9000) + `"}`, 413},
		"no sku":         {"a", `{"qty":1,"amount_cents":5,"customer":"ada"}`, 422},
		"too many":       {"a", `{"sku":"tea","qty":101,"amount_cents":5,"customer":"ada"}`, 422},
		"nothing to pay": {"a", `{"sku":"tea","qty":1,"customer":"ada"}`, 422},
		"nobody":         {"a", `{"sku":"tea","qty":1,"amount_cents":5}`, 422},
		"bad key":        {"a b", good, 400},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := servicetest.Post(t, url+"/checkout", tt.key, tt.body)
			assert.Equal(t, tt.code, code, body)
		})
	}
}

func FuzzDecodeCheckout(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"sku":1}`))
	f.Add([]byte(good + good))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCheckout(bytes.NewReader(data))
		if err == nil && (!service.ValidID(c.SKU) || c.Qty < 1 || c.Qty > 100 || c.Amount < 1 || c.Customer == "") {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}

func read(t *testing.T, r io.Reader) []byte {
	b, err := io.ReadAll(r)
	assert.NoError(t, err)
	return b
}
