package reviews

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func TestReviews(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		env := storetest.Env(h)
		env["NATS_URL"] = "127.0.0.1:1" // reviews works without the bus
		for range 2 {                   // the second start finds what the first has seeded
			url := servicetest.Start(t, Setup, env)
			for name, tt := range map[string]struct {
				sku  string
				code int
				body string
			}{
				"a product": {"tea", 200, `{"sku":"tea","stars":4.5,"reviews":[{"author":"ada","stars":5,"text":"Never without tea."},{"author":"bob","stars":4,"text":"Good, if one likes tea."}]}`},
				"none yet":  {"new", 200, `{"sku":"new","stars":0,"reviews":[]}`},
				"no id":     {"a%20b", 400, ""},
			} {
				t.Run(name, func(t *testing.T) {
					code, body := servicetest.Get(t, url+"/reviews/"+tt.sku)
					assert.Equal(t, tt.code, code)
					if tt.body != "" {
						assert.JSONEq(t, tt.body, body)
					}
				})
			}
		}
	})
}
