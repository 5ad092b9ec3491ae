package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/servicetest"
	"squall/sample-system/legacy"
	"squall/sample-system/users"
)

// moving is a gateway in front of the real legacy and users, with something in
// the way to users that can fail.
type moving struct {
	url           string
	legacy, users string
	fail          atomic.Pointer[http.HandlerFunc] // nil: as it is
}

func newMoving(t *testing.T) *moving {
	m := &moving{}
	bus := servicetest.Bus(t)
	m.legacy = servicetest.Start(t, legacy.Setup, nil)
	m.users = servicetest.Start(t, users.Setup, map[string]string{"NATS_URL": "127.0.0.1:1"})
	there, err := url.Parse(m.users)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(there)
	way := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if f := m.fail.Load(); f != nil {
			(*f)(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	m.url = start(t, behind(t, map[string]string{"NATS_URL": bus, "LEGACY_URL": m.legacy, "USERS_URL": way.URL}))
	return m
}

func (m *moving) breakUsers(f http.HandlerFunc) { m.fail.Store(&f) }

func (m *moving) move(t *testing.T, percent int) {
	require.Eventually(t, func() bool {
		return ask(t, "PUT", m.url+"/migrations/profile", fmt.Sprintf(`{"percent":%d}`, percent)).code == 200
	}, soon, tick)
}

func (m *moving) percent(t *testing.T) int {
	var all struct{ Migrations map[string]State }
	ask(t, "GET", m.url+"/deploys", "").decode(t, &all)
	return all.Migrations["profile"].Percent
}

func (m *moving) put(t *testing.T, customer, name string) {
	a := ask(t, "PUT", m.url+"/profile?customer="+customer, `{"name":"`+name+`","address":"x"}`)
	require.Equal(t, 200, a.code, a.body)
}

func (m *moving) name(t *testing.T, url string) string {
	a := ask(t, "GET", url, "")
	if a.code != 200 {
		return fmt.Sprint(a.code)
	}
	var p Profile
	a.decode(t, &p)
	return p.Name
}

// agree waits until both stores hold the same.
func (m *moving) agree(t *testing.T) {
	t.Helper()
	var old, copied []struct {
		Key   string
		Attrs map[string]string
	}
	require.Eventually(t, func() bool {
		ask(t, "GET", m.legacy+"/audit/profiles", "").decode(t, &old)
		ask(t, "GET", m.users+"/audit/profiles", "").decode(t, &copied)
		return assert.ObjectsAreEqual(old, copied)
	}, 2*soon, 50*tick)
	assert.NotEmpty(t, old)
}

func TestMigration(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.put(t, "ada", "before")
	assert.Equal(t, "404", m.name(t, m.users+"/profiles/ada"), "no migration, no copy")
	assert.Equal(t, "before", m.name(t, m.url+"/profile?customer=ada"))

	m.move(t, 100)
	assert.Equal(t, "before", m.name(t, m.url+"/profile?customer=ada"), "not copied yet or just so")
	m.agree(t)
	m.put(t, "ada", "both")
	for _, store := range []string{m.legacy, m.users} {
		assert.Equal(t, "both", m.name(t, store+"/profiles/ada"))
	}
	assert.Equal(t, "both", m.name(t, m.url+"/profile?customer=ada"))
	assert.Equal(t, "404", m.name(t, m.url+"/profile?customer=nobody"))
	assert.Equal(t, 422, ask(t, "PUT", m.url+"/profile?customer=ada", `{"name":""}`).code)
	assert.Equal(t, 422, ask(t, "GET", m.url+"/profile?customer=a%20b", "").code)
	assert.Equal(t, 100, m.percent(t))
}

// TestStranglerRollsBack: users fails, the customers notice nothing, the way back
// is taken by itself, and what users has missed is made up for.
func TestStranglerRollsBack(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]http.HandlerFunc{
		"drops": drops,
		"lies":  says(200, `{"customer":"ada","name":"Eve","address":"x","version":0}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoving(t)
			m.move(t, 100)
			m.agree(t)
			for i := range 10 {
				m.put(t, "ada", fmt.Sprint("good ", i))
			}
			m.breakUsers(f)
			n := 0
			require.Eventually(t, func() bool {
				n++
				want := fmt.Sprint("bad ", n)
				m.put(t, "ada", want)
				assert.Equal(t, want, m.name(t, m.url+"/profile?customer=ada"), "legacy answers")
				return m.percent(t) == 0
			}, soon, tick)
			m.put(t, "bob", "after")
			m.fail.Store(nil)
			m.agree(t)
			assert.Equal(t, "after", m.name(t, m.users+"/profiles/bob"), "written after the rollback")
			var rows []struct{ Attrs map[string]string }
			ask(t, "GET", m.url+"/audit/deploys", "").decode(t, &rows)
			last := rows[len(rows)-1].Attrs
			assert.Equal(t, "0", last["percent"])
			assert.Contains(t, last["reason"], "calls to users failed")
		})
	}
}

// TestFewErrorsAreBorne: 1 in 25 is below the threshold of 5 %.
func TestFewErrorsAreBorne(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.move(t, 100)
	m.agree(t)
	for i := range 100 {
		if i%25 == 24 {
			m.breakUsers(says(409, `{}`))
		}
		m.put(t, "ada", fmt.Sprint(i))
		m.fail.Store(nil)
	}
	assert.Equal(t, 100, m.percent(t))
	m.agree(t)
}

// TestRepair: a write that users has missed is copied, a newer one not undone.
func TestRepair(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.move(t, 1)
	m.agree(t)
	assert.Equal(t, 200, ask(t, "PUT", m.legacy+"/profiles/ada", `{"name":"behind our back","address":"x"}`).code)
	assert.Equal(t, 200, ask(t, "PUT", m.users+"/profiles/bob", `{"name":"ahead","address":"x","version":9}`).code)
	m.breakUsers(drops)
	m.put(t, "customer-1", "missed")
	m.fail.Store(nil)
	require.Eventually(t, func() bool { return m.name(t, m.users+"/profiles/ada") == "behind our back" }, 2*soon, tick)
	require.Eventually(t, func() bool { return m.name(t, m.users+"/profiles/customer-1") == "missed" }, 2*soon, tick)
	assert.Equal(t, "ahead", m.name(t, m.users+"/profiles/bob"))
}

func TestMoved(t *testing.T) {
	count := 0
	for i := range 1000 {
		customer := fmt.Sprint("customer-", i)
		assert.False(t, moved(customer, 0))
		assert.True(t, moved(customer, 100))
		if moved(customer, 30) {
			count++
			assert.True(t, moved(customer, 31), "nobody goes back while the share rises")
		}
	}
	assert.InDelta(t, 300, count, 60)
}

func FuzzDecodeChange(f *testing.F) {
	f.Add([]byte(`{"name":"Ada","address":"x"}`))
	f.Add([]byte(`{"name":"Ada","version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeChange(bytes.NewReader(data))
		if err == nil && (c.Name == "" || len(c.Name) > 100 || c.Version != nil) {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}

func FuzzDecodeProfiles(f *testing.F) {
	f.Add([]byte(`{"profiles":[{"customer":"ada","name":"Ada","address":"x","version":1}]}`))
	f.Add([]byte(`{"profiles":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		page, err := decodeProfiles(data)
		for _, p := range page {
			if err == nil && (p.Customer == "" || p.Version < 0) {
				t.Fatalf("accepted %q", strings.TrimSpace(string(data)))
			}
		}
	})
}
