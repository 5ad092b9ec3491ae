package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"squall/runner/plan"
	"squall/runner/record"
)

// The books are read again and again until nothing is pending and nothing has
// changed for calm: work in the background of the system may go on after the load.
const (
	booksEvery = 250 * time.Millisecond
	calm       = time.Second
	maxBooks   = 64 << 20 // bytes of one source
)

// settle stops the load, waits until the books are calm, and records them.
func (e *engine) settle(ctx context.Context, _ plan.Phase) error {
	if err := e.stopLoad(ctx); err != nil {
		return err
	}
	rows, err := e.calmBooks(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := e.Record.Put(record.Audit, r); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) calmBooks(ctx context.Context) ([]record.AuditRow, error) {
	deadline := time.Now().Add(settleWithin)
	var last []record.AuditRow
	since := time.Now()
	tick := time.NewTicker(booksEvery)
	defer tick.Stop()
	for {
		rows, err := e.readBooks(ctx)
		now := time.Now()
		if err == nil && !reflect.DeepEqual(rows, last) {
			last, since = rows, now
		}
		if err == nil && now.Sub(since) >= calm && !pending(rows) {
			return rows, nil
		}
		if now.After(deadline) {
			if err != nil {
				e.note("error", "books: %v", err) // the ledger check will miss its source
				return last, nil
			}
			e.note("warn", "books not calm after %s", settleWithin)
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func pending(rows []record.AuditRow) bool {
	return slices.ContainsFunc(rows, func(r record.AuditRow) bool { return r.State == "pending" })
}

func (e *engine) readBooks(ctx context.Context) ([]record.AuditRow, error) {
	urls := map[string]string{}
	for _, s := range e.Env.Services() {
		urls[s.Name] = s.URL
	}
	var all []record.AuditRow
	for _, name := range slices.Sorted(maps.Keys(e.System.Spec.Ledger)) {
		b := e.System.Spec.Ledger[name]
		if len(b.Of) > 0 {
			continue
		}
		rows, err := readSource(ctx, name, urls[b.Service]+b.Path)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		all = append(all, rows...)
	}
	return all, nil
}

func readSource(ctx context.Context, name, url string) ([]record.AuditRow, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, res.Status)
	}
	var rows []record.AuditRow
	if err := json.NewDecoder(io.LimitReader(res.Body, maxBooks)).Decode(&rows); err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	for i := range rows {
		rows[i].Source = name
	}
	return rows, nil
}
