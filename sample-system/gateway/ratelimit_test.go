package gateway

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/sample-system/internal/servicetest"
)

// TestRateLimit: who floods gets 429 and when to come again; others notice nothing.
func TestRateLimit(t *testing.T) {
	orders := newFake(t, says(200, `{}`))
	env := behind(t, map[string]string{"ORDERS_URL": orders.URL, "SHOP_RATE": "5"})
	url := start(t, env)
	refused := 0
	for range 30 {
		if a := ask(t, "GET", url+"/orders/o1", "", ClientHeader, "flood"); a.code == http.StatusTooManyRequests {
			refused++
			assert.Equal(t, "1", a.header.Get("Retry-After"))
			assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
		}
	}
	assert.GreaterOrEqual(t, refused, 15, "10 at once, 5 a second")
	assert.EqualValues(t, 30-refused, orders.calls.Load(), "nothing is done for a refused one")
	assert.Equal(t, 200, ask(t, "GET", url+"/orders/o1", "", ClientHeader, "other").code)
	assert.Equal(t, 200, ask(t, "GET", url+"/orders/o1", "").code, "by address")
}

func TestClient(t *testing.T) {
	for name, tt := range map[string]struct{ customer, header, remote, want string }{
		"token":       {"ada", "x", "1.2.3.4:5", "customer ada"},
		"header":      {"", "x", "1.2.3.4:5", "client x"},
		"bad header":  {"", "a b", "1.2.3.4:5", "address 1.2.3.4"},
		"address":     {"", "", "[::1]:5", "address ::1"},
		"no port":     {"", "", "pipe", "address pipe"},
		"no disguise": {"", "customer-1", "1.2.3.4:5", "client customer-1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{Header: http.Header{}, RemoteAddr: tt.remote}
			r.Header.Set(ClientHeader, tt.header)
			assert.Equal(t, tt.want, client(r, tt.customer))
		})
	}
}

func TestRateIsChecked(t *testing.T) {
	for _, v := range []string{"0", "-1", "NaN", "many", "Inf"} {
		h := servicetest.Host(t)
		h.Getenv = func(string) string { return v }
		_, err := newRateLimit(h)
		assert.Error(t, err, v)
	}
}
