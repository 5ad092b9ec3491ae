package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNumbered(t *testing.T) {
	for in, want := range map[string]string{
		`SELECT 1`:                       `SELECT 1`,
		`a = ? AND b = ?`:                `a = $1 AND b = $2`,
		`a = '?' AND b = ?`:              `a = '?' AND b = $1`,
		`a = 'it''s ?' AND b IN (?,?,?)`: `a = 'it''s ?' AND b IN ($1,$2,$3)`,
		`ä = ?`:                          `ä = $1`,
	} {
		assert.Equal(t, want, numbered(in))
	}
}

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://h1:1":                                  "shop@h1:1/shop",
		"postgres://h1:1,postgres://h2:2":                  "shop@h1:1/shop shop@h2:2/shop",
		"postgres://h1:1/,postgres://h2:2/":                "shop@h1:1/shop shop@h2:2/shop",
		"postgres://ada@h1:1,h2:2/books?connect_timeout=1": "ada@h1:1/books ada@h2:2/books",
		"postgresql://127.0.0.1:5/x":                       "shop@127.0.0.1:5/x",
		"":                                                 "error",
		"postgres://h1:1,,h2:2":                            "error",
		"postgres://h1:port":                               "error",
	} {
		t.Run(dsn, func(t *testing.T) {
			nodes, err := parseDSN(dsn)
			if want == "error" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			got := ""
			for i, n := range nodes {
				if i > 0 {
					got += " "
				}
				got += fmt.Sprintf("%s@%s:%d/%s", n.User, n.Host, n.Port, n.Database)
				assert.Empty(t, n.Fallbacks)
				assert.Nil(t, n.TLSConfig)
			}
			assert.Equal(t, want, got)
		})
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("postgres://h1:1,postgres://h2:2")
	f.Add("postgres://ada@h1:1,h2:2/books?connect_timeout=1")
	f.Fuzz(func(t *testing.T, dsn string) {
		nodes, err := parseDSN(dsn)
		if err == nil && len(nodes) == 0 {
			t.Errorf("no node and no error for %q", dsn)
		}
	})
}
