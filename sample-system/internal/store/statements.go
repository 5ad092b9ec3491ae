// Statements of SQLite, parsed once.
//
// Parsing costs more than what the small statements of a shop do, so each
// connection keeps the statements it has parsed, as the driver of PostgreSQL does
// by itself; after a change of the schema SQLite parses them anew. It keeps 64,
// twice what any service has; beyond that one of them makes room. One whose rows
// are still being read is parsed once more.
//
// To watch a context the driver starts a goroutine per statement, which costs as
// much again. Here the context is looked at before: a statement that has begun
// goes on to its end, or to its first row, though its context ends. That is below
// 10 ms, with the wait for a lock of another process before it (sqlite.go).
// BenchmarkStatements has the gain.

package store

import (
	"context"
	"database/sql/driver"

	"modernc.org/sqlite"
)

const maxStatements = 64

// connector makes connections that keep their statements.
type connector struct {
	dsn    string
	driver sqlite.Driver
}

// Connect opens a connection.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &keeper{conn.(sqliteConn), map[string]*statement{}}, nil
}

// Driver is the one that makes them.
func (c *connector) Driver() driver.Driver { return &c.driver }

// sqliteConn is what the driver's connections can do, and database/sql asks for.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.SessionResetter
	driver.Validator
}

// keeper is a connection and the statements it has parsed. database/sql never
// uses a connection from two goroutines at once.
type keeper struct {
	sqliteConn
	kept map[string]*statement
}

type statement struct {
	driver.Stmt
	reading bool // its rows
}

// ExecContext runs a statement.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(context.WithoutCancel(ctx), args)
}

// QueryContext runs a statement whose rows are read until they are closed.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(context.WithoutCancel(ctx), args)
	if err != nil {
		return nil, err
	}
	s.reading = true
	return &reading{rows, s}, nil
}

// BeginTx begins a transaction for writing, the only kind there is here.
func (k *keeper) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if _, err := k.ExecContext(ctx, `BEGIN IMMEDIATE`, nil); err != nil {
		return nil, err
	}
	return tx{k}, nil
}

// tx ends a transaction, whatever has become of the context it began with.
type tx struct{ k *keeper }

// Commit ends it well. If that fails it is undone, for database/sql takes it for over.
func (t tx) Commit() error {
	_, err := t.k.ExecContext(context.Background(), `COMMIT`, nil)
	if err != nil {
		_ = t.Rollback() // fails where SQLite has done so already
	}
	return err
}

// Rollback undoes it.
func (t tx) Rollback() error {
	_, err := t.k.ExecContext(context.Background(), `ROLLBACK`, nil)
	return err
}

// statement is the one kept for query, unless that is being read: database/sql
// then prepares one for this call alone.
func (k *keeper) statement(ctx context.Context, query string) (*statement, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s, ok := k.kept[query]; ok {
		if s.reading {
			return nil, driver.ErrSkip
		}
		return s, nil
	}
	if err := k.makeRoom(); err != nil {
		return nil, err
	}
	stmt, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: stmt}
	k.kept[query] = s
	return s, nil
}

func (k *keeper) makeRoom() error {
	for query, s := range k.kept { // in no order: which one goes hardly matters
		if len(k.kept) < maxStatements {
			return nil
		}
		if !s.reading {
			delete(k.kept, query)
			if err := s.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends the connection and its statements.
func (k *keeper) Close() error {
	for query, s := range k.kept {
		delete(k.kept, query)
		_ = s.Close() // says once more how the last call of it failed
	}
	return k.sqliteConn.Close()
}

// reading are the rows of a kept statement.
type reading struct {
	driver.Rows
	s *statement
}

// Close makes the statement free for the next call.
func (r *reading) Close() error {
	r.s.reading = false
	return r.Rows.Close()
}
