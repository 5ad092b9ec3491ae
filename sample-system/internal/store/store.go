// Package store opens a service's own SQLite database.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"squall/sample-system/internal/service"

	_ "modernc.org/sqlite" // the driver
)

// DB is a database with one writer and several readers. SQLite allows one
// writer at a time anyway; with a single connection the others queue in Go,
// where a context can end the wait, instead of polling the file lock.
type DB struct {
	Write *sql.DB
	Read  *sql.DB
}

// Open opens SHOP_DATA/file, applies the schema (which must be idempotent) and
// closes the database with the host.
//
// The journal is a write-ahead log with synchronous=NORMAL: a commit survives
// the death of the process, and costs no fsync. Losing power may take the last
// commits with it; a shop that must survive that sets FULL and pays one fsync
// per commit.
func Open(h *service.Host, file, schema string) (*DB, error) {
	dir, err := h.DataDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: filepath.Join(dir, file)}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	write, err := sql.Open("sqlite", dsn+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", file, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", file, err), write.Close())
	}
	read.SetMaxOpenConns(4)
	read.SetMaxIdleConns(4)
	h.OnClose(func() error { return errors.Join(read.Close(), write.Close()) })
	if _, err := write.Exec(schema); err != nil {
		return nil, fmt.Errorf("open store %s: apply schema: %w", file, err)
	}
	return &DB{Write: write, Read: read}, nil
}

// Tx runs f in one transaction: all of it, or nothing when f fails.
func (db *DB) Tx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.Write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Count reads a number for a gauge; -1 when it cannot be read.
func (db *DB) Count(query string) func() float64 {
	return func() float64 {
		n := -1.0
		if err := db.Read.QueryRow(query).Scan(&n); err != nil {
			return -1
		}
		return n
	}
}
