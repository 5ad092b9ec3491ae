package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"

	"squall/sample-system/internal/service"
)

// openSQLite opens SHOP_DATA/name.db, which several processes may share.
//
// SQLite allows one writer at a time: within the process a pool of one, in which
// the others queue in Go, where a context can end the wait; between processes
// the lock of the file. A transaction takes it at its begin, so that it cannot
// find in its middle that somebody else has written. SQLite itself would ask for
// the lock again after ever longer pauses, up to 100 ms, so that who has lost once
// goes on losing; here it does so for 8 ms, and then starts anew (tx.go).
//
// The journal is a write-ahead log with synchronous=NORMAL: a commit survives
// the death of the process, and costs no fsync. Losing power may take the last
// commits with it; a shop that must survive that sets FULL and pays one fsync
// per commit.
func openSQLite(h *service.Host, name, _ string) (*DB, error) {
	dir, err := h.DataDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: filepath.Join(dir, name+".db")}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	write := sql.OpenDB(&connector{dsn: dsn + "&_pragma=busy_timeout(8)"})
	read := sql.OpenDB(&connector{dsn: dsn + "&_pragma=busy_timeout(200)&_pragma=query_only(1)"})
	return &DB{
		lane:  make(chan struct{}, 1),
		write: newPool(h, write, "write", 1), read: newPool(h, read, "read", 4), dialect: sqliteDialect,
		close: func() error { return errors.Join(read.Close(), write.Close()) },
	}, nil
}

var sqliteDialect = dialect{
	serial:   "INTEGER PRIMARY KEY AUTOINCREMENT", // numbers are never used again, as in PostgreSQL
	bind:     func(q string) string { return q },
	conflict: func(error) bool { return false }, // a writer waits at its begin, and then has no rival
	locked:   locked,
	duplicate: func(err error) bool {
		return sqliteCode(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
	shape: func(err error) error {
		if locked(err) {
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return err
	},
	migrate: func(context.Context, *Tx, string) error { return nil },
}

func locked(err error) bool {
	return sqliteCode(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_BUSY_RECOVERY)
}

func sqliteCode(err error, codes ...int) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code() == c {
			return true
		}
	}
	return false
}
