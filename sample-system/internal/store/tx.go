// Serialisable transactions that repeat themselves.
//
// Answers: two instances that change the same rows at once. Under SERIALIZABLE
// one of them is told to start over (SQLSTATE 40001, or 40P01 for a deadlock),
// and SQLite refuses who finds the file locked by another process; without a
// repeat that would be an error for a user who did nothing wrong. Where many
// want the same row each success throws all others back, and repeating makes it
// worse; so who has met a conflict goes on in a lane, one at a time, and while
// somebody is in the lane the others queue there too: in a process that has
// conflicts there is one writer, in one that has none there are as many as
// connections.
// Numbers: what begins tries for half a second, what has begun as long as it
// would wait for a connection (pool.go); after that it is overload. In the lane
// the only rival is another process: a pause of up to 8 ms takes the two apart.
// A locked file is asked for every few ms.
// Costs: f runs more than once, so it must set what it returns anew each time,
// and do nothing outside the database.
// Breaks without it: TestConflictsAreRepeated, TestHotRow. No off switch.

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"squall/sample-system/internal/backoff"
)

const (
	conflictTime  = 500 * time.Millisecond // of what begins
	conflictPause = 8 * time.Millisecond
	lockPause     = 2 * time.Millisecond
)

// Tx is a transaction.
type Tx struct {
	tx   *sql.Tx
	bind func(string) string
}

// Exec runs one statement and returns the number of rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(t.tx.ExecContext(ctx, t.bind(query), args...))
}

// Query reads rows. The caller must close them before the next statement.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, t.bind(query), args...)
}

// QueryRow reads one row; its errors come from Scan.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, t.bind(query), args...)
}

// Tx runs f in one serialisable transaction: all of it, or nothing when f
// fails. f may run more than once. A connection that is lost during the commit
// is an error whose outcome is unknown; such a transaction is not repeated.
func (db *DB) Tx(ctx context.Context, f func(tx *Tx) error) error {
	return db.attempts(ctx, func() error {
		return db.onConn(ctx, func(ctx context.Context, conn *sql.Conn) error { return db.once(ctx, conn, f) })
	})
}

func (db *DB) once(ctx context.Context, conn *sql.Conn, f func(tx *Tx) error) error {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(&Tx{tx, db.dialect.bind}); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) && !errors.Is(undo, driver.ErrBadConn) {
			err = errors.Join(err, fmt.Errorf("roll back: %w", undo))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// onConn lends a connection for writing to f, within the time for one call.
func (db *DB) onConn(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	conn, err := db.write.take(ctx)
	if err != nil {
		return err
	}
	defer db.write.give(conn)
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err = f(limited, conn)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %v: %w", ErrLost, callTime, err)
	}
	return err
}

// attempts repeats f on conflicts and locks, and on connections that turn out to
// be dead before anything was sent on them.
func (db *DB) attempts(ctx context.Context, f func() error) error {
	limit := max(patience(ctx), conflictTime)
	started, inLane := time.Now(), false
	defer func() {
		if inLane {
			<-db.lane
		}
	}()
	for conflict := len(db.lane) > 0; ; {
		if conflict && !inLane {
			if err := db.enterLane(ctx, limit); err != nil {
				return err
			}
			inLane = true
		}
		err := f()
		pause, took := conflictPause, time.Since(started)
		conflict = db.dialect.conflict(err) || errors.Is(err, driver.ErrBadConn)
		switch {
		case err == nil:
			return nil
		case db.dialect.locked(err) && took < patience(ctx):
			pause = lockPause
		case !conflict:
			return db.dialect.shape(err)
		case took >= limit:
			return fmt.Errorf("%w: %w", ErrBusy, err)
		case !inLane:
			continue
		}
		if err := backoff.Wait(ctx, rand.N(pause), nil); err != nil {
			return err
		}
	}
}

// enterLane waits until this call is the only one that repeats.
func (db *DB) enterLane(ctx context.Context, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case db.lane <- struct{}{}:
		return nil
	case <-t.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}
