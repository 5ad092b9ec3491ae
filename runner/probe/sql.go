package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"squall/runner/record"
)

// SQL is a statement on the first of several PostgreSQL databases that takes it.
type SQL struct {
	DSNs    []string
	Query   string
	Timeout time.Duration
}

// Do runs the statement on a connection of its own. Text is the first column
// of the first row, Value its number: of text that is none, and of no row, 0.
func (s SQL) Do(ctx context.Context) record.Probe {
	return timed(ctx, s.Timeout, func(ctx context.Context, p *record.Probe) error {
		var errs []error
		for _, dsn := range s.DSNs {
			text, err := ask(ctx, dsn, s.Query)
			if err == nil {
				p.Text = kept([]byte(text))
				p.Value, _ = strconv.ParseFloat(text, 64)
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

func ask(ctx context.Context, dsn, query string) (string, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", errors.New("the address of the database cannot be read") // pgx's error has the password
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", fmt.Errorf("connect to %s:%d: %w", cfg.Host, cfg.Port, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	text := ""
	if rows.Next() {
		if raw := rows.RawValues(); len(raw) > 0 {
			text = string(raw[0])
		}
	}
	rows.Close()
	return text, rows.Err()
}
