package psp

import (
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func TestBook(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := servicetest.Start(t, Setup, storetest.Env(h))
		post := func(path, key string, amount string) int {
			body := `{"key":"` + key + `","order":"` + key + `"}`
			if path == "/charges" {
				body = `{"order":"` + key + `","amount_cents":` + amount + `}`
			}
			code, _ := servicetest.Post(t, url+path, key, body)
			return code
		}
		effects := func(key string) []int { return servicetest.Effects(t, url+"/audit/money", key) }

		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { assert.Equal(t, 201, post("/charges", "a", "5")) })
		}
		wg.Wait()
		assert.Equal(t, []int{1}, effects("a"), "charged once")
		assert.Equal(t, 200, post("/refunds", "a", ""))
		assert.Equal(t, 200, post("/voids", "a", ""))
		assert.Equal(t, []int{1, -1}, effects("a"), "reversed once")
		assert.Equal(t, 409, post("/charges", "a", "5"), "reversed for good")

		assert.Equal(t, 200, post("/voids", "late", ""))
		assert.Equal(t, 409, post("/charges", "late", "5"), "voided before it came")
		assert.Empty(t, effects("late"))

		assert.Equal(t, 402, post("/charges", "rich", "1000001"))
		assert.Equal(t, 200, post("/refunds", "rich", ""))
		assert.Empty(t, effects("rich"))
		assert.Equal(t, 422, post("/charges", "none", "0"))
	})
}
