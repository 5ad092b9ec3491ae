// Package store is a service's own database: SQLite in a file by default,
// PostgreSQL where SHOP_DB names one, with one API and one SQL for both.
//
// SQL that runs on both: `?` placeholders, TEXT and BIGINT columns, ON CONFLICT,
// no WITHOUT ROWID, no JSON functions; `id {{serial}}` in a schema declares an
// auto-numbered primary key.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

// callTime bounds one statement on the side of the client, for a database that
// hangs and so cannot keep a limit of its own. Statements of the shop take well
// below 10 ms; 2 s is what a checkout may take altogether.
const callTime = 2 * time.Second

// DB is a service's database.
type DB struct {
	write, read *pool // the same one where readers need none of their own
	dialect     dialect
	lane        chan struct{}  // holds who repeats a transaction, see tx.go
	lent        sync.WaitGroup // result sets that are still being read
	close       func() error
}

// dialect is what differs between the two databases.
type dialect struct {
	serial    string                                               // an auto-numbered primary key
	bind      func(query string) string                            // from `?` placeholders
	conflict  func(err error) bool                                 // two transactions have met: nothing was done
	locked    func(err error) bool                                 // the file is another process' now: nothing was done
	duplicate func(err error) bool                                 // a unique key is there already
	shape     func(err error) error                                // errors of the driver that have a name here
	migrate   func(ctx context.Context, tx *Tx, name string) error // before the schema
}

// Open opens the one database of a service, called name, applies the schema (which must be
// idempotent), makes it a required health check, and closes it with the host.
// name "orders" is the file SHOP_DATA/orders.db, or the schema "orders" in
// SHOP_DB. A database that is still starting is waited for, up to 30 s.
func Open(h *service.Host, name, schema string) (*DB, error) {
	open, dsn := openSQLite, ""
	if h.Getenv != nil {
		dsn = h.Getenv("SHOP_DB")
	}
	if dsn != "" {
		open = openPostgres
	}
	db, err := open(h, name, dsn)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	h.OnClose(db.Close)
	if err := db.apply(name, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: apply schema: %w", name, err), db.Close())
	}
	h.Check("database", true, db.Ping)
	return db, nil
}

// openTime is how long Open waits for a database that is still starting.
const openTime = 30 * time.Second

func (db *DB) apply(name, schema string) error {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	schema = strings.ReplaceAll(schema, "{{serial}}", db.dialect.serial)
	pause := backoff.Backoff{Base: 50 * time.Millisecond, Max: 500 * time.Millisecond}
	for failures := 1; ; failures++ {
		err := db.Tx(ctx, func(tx *Tx) error {
			if err := db.dialect.migrate(ctx, tx, name); err != nil {
				return err
			}
			_, err := tx.tx.ExecContext(ctx, schema)
			return err
		})
		if !errors.Is(err, ErrBusy) && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrLost) {
			return err
		}
		if backoff.Wait(ctx, pause.Delay(failures), nil) != nil {
			return err
		}
	}
}

// Close waits for result sets that are still being read, and closes all connections.
func (db *DB) Close() error {
	db.lent.Wait()
	return db.close()
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	conn, err := db.read.take(ctx)
	if err != nil {
		return err
	}
	defer db.read.give(conn)
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err = conn.ExecContext(ctx, `SELECT 1`) // as a query it would need two more goroutines
	return db.dialect.shape(err)
}

// Exec runs one statement and returns the number of rows it changed.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := db.attempts(ctx, func() error {
		return db.onConn(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
			n, err = affected(conn.ExecContext(ctx, db.dialect.bind(query), args...))
			return err
		})
	})
	return n, err
}

// Query reads rows. The caller must close them, or read to their end.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	conn, err := db.read.take(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	rows, err := conn.QueryContext(ctx, db.dialect.bind(query), args...)
	db.giveLater(conn, cancel)
	return rows, db.dialect.shape(err)
}

// QueryRow reads one row; its errors come from Scan.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	conn, err := db.read.take(ctx)
	if err != nil {
		return db.read.sql.QueryRowContext(ended{ctx, err}, "")
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	row := conn.QueryRowContext(ctx, db.dialect.bind(query), args...)
	db.giveLater(conn, cancel)
	return row
}

// giveLater returns a connection when its result set has been read.
func (db *DB) giveLater(conn *sql.Conn, cancel context.CancelFunc) {
	db.lent.Go(func() {
		defer cancel()
		db.read.give(conn)
	})
}

// ended is a context that is over for a reason of ours: the one way to make a
// *sql.Row that carries an error.
type ended struct {
	context.Context
	err error
}

func (e ended) Done() <-chan struct{} { return closed }
func (e ended) Err() error            { return e.err }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Count reads a number for a gauge; -1 when it cannot be read.
func (db *DB) Count(query string) func() float64 {
	return func() float64 {
		n := -1.0
		if err := db.QueryRow(context.Background(), query).Scan(&n); err != nil {
			return -1
		}
		return n
	}
}

// IsDuplicate reports whether a row was refused because its key is there already.
func (db *DB) IsDuplicate(err error) bool { return db.dialect.duplicate(err) }

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
