// Package audit is how a service shows its books: what took effect, under
// which operation. Whoever compares the books of several services can tell
// whether an operation happened once, twice or half.
package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"

	"squall/sample-system/internal/service"
)

// Row is one line of the books.
type Row struct {
	Key    string            `json:"key"`             // operation id
	ID     string            `json:"id,omitempty"`    // row identity
	Effect int               `json:"effect"`          // +1 done, -1 undone, 0 neither
	State  string            `json:"state,omitempty"` // pending or a final state
	Attrs  map[string]string `json:"attrs,omitempty"` // what else may help
	At     int64             `json:"at,omitempty"`    // Unix nanoseconds
}

// Serve answers what query selects: key, id, effect, state, attrs as a JSON
// object, at; in that order.
func Serve(db *sql.DB, query string) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rows, err := read(r.Context(), db, query)
		if err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, rows)
	}
}

func read(ctx context.Context, db *sql.DB, query string) ([]Row, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read books: %w", err)
	}
	defer rows.Close()
	out := []Row{} // an empty book is [], not null
	for rows.Next() {
		var row Row
		var attrs string
		if err := rows.Scan(&row.Key, &row.ID, &row.Effect, &row.State, &attrs, &row.At); err != nil {
			return nil, fmt.Errorf("read books: %w", err)
		}
		if err := json.Unmarshal([]byte(attrs), &row.Attrs); err != nil {
			return nil, fmt.Errorf("read books, row %s: %w", row.ID, err)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
