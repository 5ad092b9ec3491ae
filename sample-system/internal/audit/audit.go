// Package audit is how a service shows its books: what took effect, under
// which operation. Whoever compares the books of several services can tell
// whether an operation happened once, twice or half.
package audit

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
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

// fixed is how many columns have a field of their own.
const fixed = 5

// Serve answers what query selects: key, id, effect, state, at, in that order;
// any further columns become attrs under their names, unless they are null.
func Serve(db *store.DB, query string) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		rows, err := read(r.Context(), db, query)
		if err != nil {
			return err
		}
		return service.WriteJSON(w, http.StatusOK, rows)
	}
}

func read(ctx context.Context, db *store.DB, query string) ([]Row, error) {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read books: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err == nil && len(columns) < fixed {
		err = fmt.Errorf("%d columns, want key, id, effect, state, at", len(columns))
	}
	if err != nil {
		return nil, fmt.Errorf("read books: %w", err)
	}
	out := []Row{} // an empty book is [], not null
	for rows.Next() {
		row, err := scan(rows, columns[fixed:])
		if err != nil {
			return nil, fmt.Errorf("read books, row %d: %w", len(out)+1, err)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

func scan(rows *sql.Rows, names []string) (Row, error) {
	var row Row
	further := make([]sql.NullString, len(names))
	into := []any{&row.Key, &row.ID, &row.Effect, &row.State, &row.At}
	for i := range further {
		into = append(into, &further[i])
	}
	if err := rows.Scan(into...); err != nil {
		return Row{}, err
	}
	for i, v := range further {
		if !v.Valid {
			continue
		}
		if row.Attrs == nil {
			row.Attrs = map[string]string{}
		}
		row.Attrs[names[i]] = v.String
	}
	return row, nil
}
