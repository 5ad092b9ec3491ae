package engine

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/scenarios/spec"
)

func pool() *engine {
	return &engine{Config: Config{System: &spec.System{Spec: spec.SystemSpec{Services: map[string]spec.Service{
		"a-1": {Of: "a", Ordinal: 1}, "a-2": {Of: "a", Ordinal: 2}, "b": {Of: "b"},
	}}}}}
}

// The instances of a service share their books: one that is dead or broken
// does not keep them from being read.
func TestBooksAreReadFromAnyInstance(t *testing.T) {
	asked := map[string]int{}
	serve := func(name string, status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked[name]++
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`[{"key":"k","id":"` + name + `"}]`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	good, broken := serve("good", 200), serve("broken", 500)
	books := spec.Books{Service: "a", Path: "/audit/x"}
	e := pool()

	rows, err := e.readAny(t.Context(), "x", books, map[string]string{"a-1": good, "a-2": good})
	require.NoError(t, err)
	assert.Equal(t, []record.AuditRow{{Source: "x", Key: "k", ID: "good"}}, rows)
	assert.Equal(t, 1, asked["good"], "one answer is enough")

	rows, err = e.readAny(t.Context(), "x", books, map[string]string{"a-1": broken, "a-2": good})
	require.NoError(t, err)
	assert.Equal(t, "good", rows[0].ID)

	_, err = e.readAny(t.Context(), "x", books, map[string]string{"a-1": broken, "a-2": "http://127.0.0.1:1"})
	assert.ErrorContains(t, err, "500 Internal Server Error")
	assert.ErrorContains(t, err, "127.0.0.1:1")

	books.Service = "a-1"
	_, err = e.readAny(t.Context(), "x", books, map[string]string{"a-1": broken, "a-2": good})
	assert.ErrorContains(t, err, "500", "an instance that is named is the only one asked")
}

func TestInjectionHasThePlansTargets(t *testing.T) {
	f := plan.Fault{ID: "f", Kind: "zone-loss", On: "z", Seed: 5, Targets: []plan.Target{{Name: "b -> a-1", Kind: "net-down"}, {Name: "a-2", Kind: "proc-kill", Step: 1}}}
	assert.Equal(t, inject.Spec{
		ID: "f", Kind: "zone-loss", On: "z", Seed: 5, Targets: []inject.Target{{Name: "b -> a-1", Kind: "net-down"}, {Name: "a-2", Kind: "proc-kill", Step: 1}},
	}, injection(f))
}
