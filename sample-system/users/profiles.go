// Profiles, a copy that becomes the original.
//
// Answers: states that arrive twice, late or in the wrong order, as they do when
// the gateway writes to both stores and repairs what went wrong. A state that
// comes with a version is taken only if it is not older than the one here, so
// the order of arrival does not matter. One without a version is the next.
// Numbers: versions are those of legacy, which counts the writes.
// Costs: nothing beyond the comparison in the same statement.
// Breaks without it: TestProfileVersions stores
// would end up different. No off switch.

package users

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"squall/sample-system/internal/store"
)

const (
	profilesSchema = `CREATE TABLE IF NOT EXISTS profiles (
		customer TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL, version BIGINT NOT NULL, at BIGINT NOT NULL);`

	// A profile from before the first write is nobody's effect.
	booksQuery = `SELECT customer AS key, customer AS id, CASE WHEN version > 0 THEN 1 ELSE 0 END AS effect, 'current' AS state, at,
		name, address, version FROM profiles ORDER BY customer`
)

// Profile is what the shop knows of a customer.
type Profile struct {
	Customer string `json:"customer"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Version  int64  `json:"version"` // number of writes
}

var errNoProfile = errors.New("no such profile")

type profiles struct{ db *store.DB }

func (p *profiles) get(ctx context.Context, customer string) (Profile, error) {
	return find(p.db.QueryRow(ctx, `SELECT customer, name, address, version FROM profiles WHERE customer = ?`, customer))
}

func find(row *sql.Row) (Profile, error) {
	var got Profile
	err := row.Scan(&got.Customer, &got.Name, &got.Address, &got.Version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Profile{}, errNoProfile
	case err != nil:
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}
	return got, nil
}

// put stores a state unless it is older than what is there, and returns what is
// there then. Without a version (nil) the state is the next one.
func (p *profiles) put(ctx context.Context, state Profile, version *int64) (stored Profile, err error) {
	err = p.db.Tx(ctx, func(tx *store.Tx) error {
		current, err := find(tx.QueryRow(ctx, `SELECT customer, name, address, version FROM profiles WHERE customer = ?`, state.Customer))
		known := !errors.Is(err, errNoProfile)
		if known && err != nil {
			return err
		}
		next := state
		next.Version = current.Version + 1
		if version != nil {
			next.Version = *version
		}
		if known && next.Version < current.Version {
			stored = current
			return nil
		}
		stored = next
		_, err = tx.Exec(ctx, `INSERT INTO profiles (customer, name, address, version, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (customer) DO UPDATE SET name = excluded.name, address = excluded.address, version = excluded.version, at = excluded.at`,
			next.Customer, next.Name, next.Address, next.Version, time.Now().UnixNano())
		return err
	})
	if err != nil {
		return Profile{}, fmt.Errorf("write profile: %w", err)
	}
	return stored, nil
}

// list is those of the given customers that have a profile.
func (p *profiles) list(ctx context.Context, customers []string) ([]Profile, error) {
	args := make([]any, len(customers))
	for i, c := range customers {
		args[i] = c
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(customers)), ",")
	rows, err := p.db.Query(ctx, `SELECT customer, name, address, version FROM profiles WHERE customer IN (`+marks+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	defer rows.Close()
	found := []Profile{}
	for rows.Next() {
		var one Profile
		if err := rows.Scan(&one.Customer, &one.Name, &one.Address, &one.Version); err != nil {
			return nil, fmt.Errorf("list profiles: %w", err)
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
