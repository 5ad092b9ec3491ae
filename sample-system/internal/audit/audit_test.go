package audit_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func TestServe(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		db, err := store.Open(h, "books", `CREATE TABLE IF NOT EXISTS entries (id {{serial}}, key TEXT NOT NULL, effect BIGINT NOT NULL, at BIGINT NOT NULL, term BIGINT)`)
		require.NoError(t, err)
		const query = `SELECT key, key || '/' || id, effect, 'done', at, term, 'x' AS note FROM entries ORDER BY id`
		assert.JSONEq(t, `[]`, serve(t, db, query))

		_, err = db.Exec(t.Context(), `INSERT INTO entries (key, effect, at, term) VALUES ('a', 1, 7, 3), ('a', -1, 8, NULL)`)
		require.NoError(t, err)
		var rows []audit.Row
		require.NoError(t, json.Unmarshal([]byte(serve(t, db, query)), &rows))
		assert.Equal(t, []audit.Row{
			{Key: "a", ID: "a/1", Effect: 1, State: "done", At: 7, Attrs: map[string]string{"term": "3", "note": "x"}},
			{Key: "a", ID: "a/2", Effect: -1, State: "done", At: 8, Attrs: map[string]string{"note": "x"}},
		}, rows)
		assert.Contains(t, serve(t, db, `SELECT key FROM entries`), "want key, id, effect, state, at")
	})
}

func serve(t *testing.T, db *store.DB, query string) string {
	rec := httptest.NewRecorder()
	if err := audit.Serve(db, query)(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)); err != nil {
		return err.Error()
	}
	return rec.Body.String()
}
