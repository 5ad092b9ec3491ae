package legacy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func put(t *testing.T, url, body string) (int, Profile) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var p Profile
	_ = json.NewDecoder(resp.Body).Decode(&p) // a problem document leaves it empty
	return resp.StatusCode, p
}

func TestWritesAreNumbered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := servicetest.Start(t, Setup, storetest.Env(h))
		code, body := servicetest.Get(t, url+"/profiles/ada")
		assert.Equal(t, 200, code)
		assert.JSONEq(t, `{"customer":"ada","name":"Ada Lovelace","address":"1 Old Street","version":0}`, body)
		assert.Equal(t, []int{0}, servicetest.Effects(t, url+"/audit/profiles", "ada"), "nobody wrote it")

		var wg sync.WaitGroup
		versions := make([]int64, 8)
		for i := range versions {
			wg.Go(func() {
				code, p := put(t, url+"/profiles/ada", fmt.Sprintf(`{"name":"Ada %d","address":"2 New Street"}`, i))
				assert.Equal(t, 200, code)
				versions[i] = p.Version
			})
		}
		wg.Wait()
		assert.ElementsMatch(t, []int64{1, 2, 3, 4, 5, 6, 7, 8}, versions, "each write has a number of its own")

		code, p := put(t, url+"/profiles/new", `{"name":"New","address":""}`)
		assert.Equal(t, 200, code)
		assert.Equal(t, Profile{"new", "New", "", 1}, p)
		assert.Equal(t, []int{1}, servicetest.Effects(t, url+"/audit/profiles", "new"))
	})
}

func TestListPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := servicetest.Start(t, Setup, storetest.Env(h))
		for i := range 40 { // 62 with the seeded ones: two pages
			code, _ := put(t, url+fmt.Sprintf("/profiles/more-%d", i), `{"name":"x"}`)
			require.Equal(t, 200, code)
		}
		seen := map[string]bool{}
		pages := 0
		for after := ""; ; pages++ {
			var page struct{ Profiles []Profile }
			_, body := servicetest.Get(t, url+"/profiles?after="+after)
			require.NoError(t, json.Unmarshal([]byte(body), &page))
			if len(page.Profiles) == 0 {
				break
			}
			for _, p := range page.Profiles {
				assert.False(t, seen[p.Customer], p.Customer)
				seen[p.Customer] = true
				after = p.Customer
			}
		}
		assert.Len(t, seen, 62)
		assert.Equal(t, 2, pages)
	})
}

func TestRefusals(t *testing.T) {
	url := servicetest.Start(t, Setup, nil)
	for name, tt := range map[string]struct {
		path, body string
		code       int
	}{
		"no json":        {"ada", "Ada", 400},
		"unknown field":  {"ada", `{"name":"a","age":3}`, 400},
		"no name":        {"ada", `{"address":"x"}`, 422},
		"long address":   {"ada", `{"name":"a","address":"` + strings.Repeat("x", 301) + `"}`, 422},
		"too large":      {"ada", `{"name":"` + strings.Repeat("x", 9000) + `"}`, 413},
		"bad customer":   {"a%20b", `{"name":"a"}`, 422},
		"version is not": {"ada", `{"name":"a","version":3}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			code, _ := put(t, url+"/profiles/"+tt.path, tt.body)
			assert.Equal(t, tt.code, code)
		})
	}
	code, _ := servicetest.Get(t, url+"/profiles/nobody")
	assert.Equal(t, 404, code)
}

func FuzzDecodeChange(f *testing.F) {
	f.Add([]byte(`{"name":"Ada","address":"1 Old Street"}`))
	f.Add([]byte(`{"name":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decodeChange(bytes.NewReader(data)); err == nil && (c.Name == "" || len(c.Name) > 100 || len(c.Address) > 300) {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}
