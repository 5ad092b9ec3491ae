package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// dbTimeout bounds every conversation with the database.
const dbTimeout = 5 * time.Second

func databaseOf(t Target) (Database, error) {
	db, ok := t.(Database)
	if !ok {
		return nil, fmt.Errorf("%s is no link to a database", t.Name())
	}
	return db, nil
}

// dialDatabase connects to the server itself, past the proxy, under a name by
// which the session is found in pg_stat_activity. Its errors name no password.
func dialDatabase(ctx context.Context, t Target, name string) (*pgx.Conn, error) {
	db, err := databaseOf(t)
	if err != nil {
		return nil, err
	}
	dsn, err := db.DSN()
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("address of the database behind %s: %w", t.Name(), err)
	}
	cfg.RuntimeParams["application_name"] = name
	cfg.ConnectTimeout = dbTimeout
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database behind %s: %w", t.Name(), err)
	}
	return conn, nil
}

// withDatabase runs do on a connection of its own.
func withDatabase(ctx context.Context, t Target, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	conn, err := dialDatabase(ctx, t, "squall")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(ctx, conn)
}

// endSessions ends the sessions that condition chooses of pg_stat_activity, and
// returns the process ids of those it ended once the server shows them no more.
func endSessions(ctx context.Context, conn *pgx.Conn, condition string, args ...any) (ended []int32, err error) {
	// Materialized, since in a WHERE the planner may end sessions before it chooses.
	rows, err := conn.Query(ctx, `WITH chosen AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (`+condition+`))
SELECT pid FROM chosen WHERE pg_terminate_backend(pid)`, args...)
	if err != nil {
		return nil, err
	}
	if ended, err = pgx.CollectRows(rows, pgx.RowTo[int32]); err != nil {
		return nil, err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var left int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)`, ended).Scan(&left); err != nil || left == 0 {
			return ended, err
		}
		select {
		case <-ctx.Done():
			return ended, fmt.Errorf("%d of %d sessions have not ended: %w", left, len(ended), context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// serverGone tells whether nobody listens there: with a server its sessions end.
func serverGone(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
