package postgres

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/servicetest"
)

func TestDecode(t *testing.T) {
	for in, ok := range map[string]bool{
		`{"primary":"postgres-1","term":1}`:                                     true,
		`{"primary":"postgres-1","term":7,"sync":"postgres-2","released":true}`: true,
		`{"primary":"postgres-1","term":1,"sync":"postgres-1"}`:                 false,
		`{"primary":"","term":1}`:                                               false,
		`{"primary":"postgres-1"}`:                                              false,
		`null`:                                                                  false,
		``:                                                                      false,
	} {
		_, err := decode([]byte(in))
		assert.Equal(t, ok, err == nil, "%s: %v", in, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"primary":"postgres-1","term":1,"sync":"postgres-2"}`))
	f.Add([]byte(`{"term":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decode(b); err == nil && (e.Primary == "" || e.Term < 1) {
			t.Errorf("accepted %+v", e)
		}
	})
}

func TestConfigure(t *testing.T) {
	for name, tt := range map[string]struct {
		name string
		env  map[string]string
		want string // part of the error, or the way to the other node
	}{
		"first":        {"postgres-1", map[string]string{"PG_LISTEN": "h1:1", "PG_NODES": "p1:1,p2:2"}, "host=p2 port=2"},
		"second":       {"postgres-2", map[string]string{"PG_LISTEN": "h2:2", "PG_NODES": "postgres://p1:1, postgres://p2:2"}, "host=p1 port=1"},
		"no number":    {"postgres", map[string]string{"PG_LISTEN": "h1:1", "PG_NODES": "p1:1,p2:2"}, "SHOP_NAME"},
		"third":        {"postgres-3", map[string]string{"PG_LISTEN": "h1:1", "PG_NODES": "p1:1,p2:2"}, "SHOP_NAME"},
		"one node":     {"postgres-1", map[string]string{"PG_LISTEN": "h1:1", "PG_NODES": "p1:1"}, "PG_NODES"},
		"listens not":  {"postgres-1", map[string]string{"PG_NODES": "p1:1,p2:2"}, "PG_LISTEN"},
		"empty second": {"postgres-1", map[string]string{"PG_LISTEN": "h1:1", "PG_NODES": "p1:1,"}, "PG_NODES"},
	} {
		t.Run(name, func(t *testing.T) {
			c := servicetest.Config(t, tt.env)
			c.Name = tt.name
			got, err := configure(c)
			if err != nil {
				require.ErrorContains(t, err, tt.want)
				return
			}
			assert.Contains(t, got.conninfo(), tt.want)
		})
	}
}
