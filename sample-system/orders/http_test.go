package orders

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func TestBadOrders(t *testing.T) {
	p := newPartners(t)
	url := single(t, p)
	for name, tt := range map[string]struct {
		key, body string
		code      int
	}{
		"no body":        {"a", ``, 400},
		"not JSON":       {"a", `{"id":`, 400},
		"unknown field":  {"a", `{"id":"a","sku":"tea"}`, 400},
		"two values":     {"a", body("a", "ada", "tea") + `{}`, 400},
		"too large":      {"a", `{"id":"` + strings.Repeat("a", service.MaxBody) + `"}`, 413},
		"no key":         {"", body("a", "ada", "tea"), 422},
		"another key":    {"b", body("a", "ada", "tea"), 422},
		"too long an id": {strings.Repeat("a", maxID+1), body(strings.Repeat("a", maxID+1), "ada", "tea"), 422},
		"no customer":    {"a", body("a", "", "tea"), 422},
		"no items":       {"a", body("a", "ada"), 422},
		"a sku twice":    {"a", body("a", "ada", "tea", "tea"), 422},
		"a path as sku":  {"a", body("a", "ada", "../admin"), 422},
		"negative qty":   {"a", `{"id":"a","customer":"ada","items":[{"sku":"tea","qty":-1}]}`, 422},
		"enormous qty":   {"a", `{"id":"a","customer":"ada","items":[{"sku":"tea","qty":1001}]}`, 422},
		"too many items": {"a", body("a", "ada", strings.Split(strings.Repeat("x", maxLines+1), "")...), 422},
		"unknown sku":    {"a", body("a", "ada", "nothing"), 422},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := servicetest.Post(t, url+"/orders", tt.key, tt.body)
			assert.Equal(t, tt.code, code, text)
			assert.Contains(t, text, `"title"`)
		})
	}
	assert.Zero(t, p.called(routeReserve))
	code, _ := servicetest.Get(t, url+"/orders/a")
	assert.Equal(t, http.StatusNotFound, code)
}

// TestBooks: what the audits and the rebuild on the operations port say.
func TestBooks(t *testing.T) {
	t.Parallel()
	url := single(t, newPartners(t))
	code, s := placeAt(t, url, "bought", "tea", "coffee")
	require.Equal(t, 201, code, s.Reason)
	assert.Equal(t, Status{ID: "bought", Status: "confirmed", Amount: 3998, Customer: "ada", Version: 4}, s)
	code, _ = placeAt(t, url, "declined", "yacht")
	require.Equal(t, 402, code)
	becomes(t, url, "declined", "cancelled")

	orders := book(t, url+"/audit/orders")
	require.Len(t, orders, 2)
	assert.Equal(t, "bought confirmed", orders[0].Key+" "+orders[0].State)
	assert.Equal(t, map[string]string{"step": "confirmed", "reason": "", "amount": "3998", "customer": "ada",
		"lines": `[{"sku":"tea","qty":1,"price_cents":1999},{"sku":"coffee","qty":1,"price_cents":1999}]`}, orders[0].Attrs)
	assert.Equal(t, "declined cancelled declined", orders[1].Key+" "+orders[1].State+" "+orders[1].Attrs["reason"])

	var kinds []string
	for _, e := range book(t, url+"/audit/events") {
		kinds = append(kinds, e.ID+" "+e.Attrs["type"])
	}
	assert.Equal(t, []string{"bought.1 placed", "bought.2 reserved", "bought.3 charged", "bought.4 confirmed",
		"declined.1 placed", "declined.2 reserved", "declined.3 failed", "declined.4 released"}, kinds)

	code, text := servicetest.Post(t, url+"/rebuild", "", "")
	assert.Equal(t, 200, code)
	assert.JSONEq(t, `{"orders":2,"differed":0}`, text)
}

func book(t *testing.T, url string) (rows []audit.Row) {
	code, text := servicetest.Get(t, url)
	require.Equal(t, 200, code, text)
	require.NoError(t, json.Unmarshal([]byte(text), &rows))
	return rows
}

// FuzzPlace: whatever is sent, an order is valid or refused as a problem.
func FuzzPlace(f *testing.F) {
	for _, seed := range []string{body("a", "ada", "tea"), `{}`, `null`, `[]`, `{"id":"a","items":[{"qty":1e9}]}`, `{"id":"a"`, "\x00", `{"items":null}`} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		var p Place
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(text))
		err := service.ReadJSON(httptest.NewRecorder(), r, &p)
		if err == nil {
			err = p.validate(key)
		}
		if err != nil {
			var problem service.Problem
			require.ErrorAs(t, err, &problem)
			require.Equal(t, 4, problem.Status/100)
			return
		}
		assert.True(t, service.ValidID(p.ID+".999"))
		assert.NotEmpty(t, p.Items)
		assert.LessOrEqual(t, len(p.Items), maxLines)
	})
}
