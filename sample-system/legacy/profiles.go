// Profiles, the system of record.
//
// Answers: two writers of one profile, and a copy of it elsewhere that has to
// know which of two states is the newer one. Each write counts the profile's
// version up in the transaction that stores it; whoever keeps a copy takes a
// state only if its version is not older.
// Numbers: version 0 is what was there before anybody wrote.
// Costs: one read more for each write.
// Breaks without it: TestWritesAreNumbered; the migration's repair (gateway/repair.go)
// could put an old state over a new one. No off switch.

package legacy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/store"
)

const (
	schema = `CREATE TABLE IF NOT EXISTS profiles (
		customer TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL, version BIGINT NOT NULL, at BIGINT NOT NULL)`

	// A profile from before the first write is nobody's effect.
	booksQuery = `SELECT customer AS key, customer AS id, CASE WHEN version > 0 THEN 1 ELSE 0 END AS effect, 'current' AS state, at,
		name, address, version FROM profiles ORDER BY customer`

	seeded = 20 // customer-1 to customer-20, besides ada and bob
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

// seed puts in those who have always been customers.
func (p *profiles) seed(ctx context.Context) error {
	names := map[string]string{"ada": "Ada Lovelace", "bob": "Bob Kahn"}
	for i := range seeded {
		names[fmt.Sprintf("customer-%d", i+1)] = fmt.Sprintf("Customer %d", i+1)
	}
	return p.db.Tx(ctx, func(tx *store.Tx) error {
		for customer, name := range names {
			_, err := tx.Exec(ctx, `INSERT INTO profiles (customer, name, address, version, at) VALUES (?, ?, '1 Old Street', 0, 0) ON CONFLICT DO NOTHING`,
				customer, name)
			if err != nil {
				return fmt.Errorf("seed profiles: %w", err)
			}
		}
		return nil
	})
}

func (p *profiles) get(ctx context.Context, customer string) (Profile, error) {
	got := Profile{Customer: customer}
	err := p.db.QueryRow(ctx, `SELECT name, address, version FROM profiles WHERE customer = ?`, customer).
		Scan(&got.Name, &got.Address, &got.Version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Profile{}, errNoProfile
	case err != nil:
		return Profile{}, fmt.Errorf("read profile: %w", err)
	}
	return got, nil
}

// put stores a state as the next version.
func (p *profiles) put(ctx context.Context, customer, name, address string) (Profile, error) {
	next := Profile{Customer: customer, Name: name, Address: address}
	err := p.db.Tx(ctx, func(tx *store.Tx) error {
		next.Version = 0
		err := tx.QueryRow(ctx, `SELECT version FROM profiles WHERE customer = ?`, customer).Scan(&next.Version)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		next.Version++
		_, err = tx.Exec(ctx, `INSERT INTO profiles (customer, name, address, version, at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (customer) DO UPDATE SET name = excluded.name, address = excluded.address, version = excluded.version, at = excluded.at`,
			customer, name, address, next.Version, time.Now().UnixNano())
		return err
	})
	if err != nil {
		return Profile{}, fmt.Errorf("write profile: %w", err)
	}
	return next, nil
}

// list is up to limit profiles behind the given customer, in the order of the
// database.
func (p *profiles) list(ctx context.Context, after string, limit int) ([]Profile, error) {
	rows, err := p.db.Query(ctx, `SELECT customer, name, address, version FROM profiles WHERE customer > ? ORDER BY customer LIMIT ?`, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	defer rows.Close()
	page := []Profile{}
	for rows.Next() {
		var one Profile
		if err := rows.Scan(&one.Customer, &one.Name, &one.Address, &one.Version); err != nil {
			return nil, fmt.Errorf("list profiles: %w", err)
		}
		page = append(page, one)
	}
	return page, rows.Err()
}
