package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// The books are read again and again until nothing is pending and nothing has
// changed for a while: work in the background of the system may go on after the
// load. Where an assertion is broken by them as they stand the wait is longer: what
// is late, such as events whose relay has yet to find a leader, is not lost.
const (
	booksEvery = 250 * time.Millisecond
	calm       = time.Second
	calmAmiss  = 6 * time.Second
	maxBooks   = 64 << 20 // bytes of one source
)

// settle stops the load, waits until the books are calm, and records them.
func (e *engine) settle(ctx context.Context, _ plan.Phase) error {
	if err := e.stopLoad(ctx); err != nil {
		return err
	}
	b, err := e.calmBooks(ctx)
	if err != nil {
		return err
	}
	for _, r := range b.rows {
		if err := e.Record.Put(record.Audit, r); err != nil {
			return err
		}
	}
	for _, p := range b.probes {
		if err := e.Record.Append(record.TypeProbe, p); err != nil {
			return err
		}
	}
	return nil
}

// books is one reading of all sources. One that could not be read is told by
// its probe and does not hide the others.
type books struct {
	rows   []record.AuditRow
	probes []record.Probe
}

// complete reports whether every source could be read and nothing is pending.
func (b books) complete() bool {
	return !slices.ContainsFunc(b.probes, func(p record.Probe) bool { return !p.OK }) &&
		!slices.ContainsFunc(b.rows, func(r record.AuditRow) bool { return r.State == "pending" })
}

func (e *engine) calmBooks(ctx context.Context) (books, error) {
	if err := e.run.Refresh(); err != nil {
		return books{}, err
	}
	b, settled, err := untilCalm(ctx, e.readBooks, func(b books) bool { return e.Judge.Balanced(ctx, e.run, b.rows, b.probes) })
	if err == nil && !settled {
		e.note("warn", "books not calm after %s", settleWithin)
	}
	return b, err
}

// untilCalm reads until it may be believed that nothing more will come, or for
// settleWithin, and says which.
func untilCalm(ctx context.Context, read func(context.Context) books, balanced func(books) bool) (last books, settled bool, err error) {
	deadline := time.Now().Add(settleWithin)
	since, enough := time.Now(), calm
	tick := time.NewTicker(booksEvery)
	defer tick.Stop()
	for {
		b := read(ctx)
		now := time.Now()
		if !reflect.DeepEqual(b, last) {
			last, since, enough = b, now, calm
		}
		if b.complete() && now.Sub(since) >= enough {
			if enough == calmAmiss || balanced(b) {
				return b, true, nil
			}
			enough = calmAmiss
		}
		if now.After(deadline) {
			return b, false, nil
		}
		select {
		case <-ctx.Done():
			return books{}, false, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (e *engine) readBooks(ctx context.Context) books {
	urls := map[string]string{}
	for _, s := range e.Env.Services() {
		urls[s.Name] = s.URL
	}
	var all books
	for _, name := range slices.Sorted(maps.Keys(e.System.Spec.Ledger)) {
		source := e.System.Spec.Ledger[name]
		if len(source.Of) > 0 {
			continue
		}
		rows, err := e.readAny(ctx, name, source, urls)
		probe := record.Probe{Name: verdict.BooksProbe(name), OK: err == nil, Value: float64(len(rows))}
		if err != nil {
			probe.Note = err.Error()
		}
		all.rows, all.probes = append(all.rows, rows...), append(all.probes, probe)
	}
	return all
}

// readAny asks the instances of a service one after the other until one
// answers: they keep the same books. urls has their base URLs by name.
func (e *engine) readAny(ctx context.Context, name string, source spec.Books, urls map[string]string) ([]record.AuditRow, error) {
	var errs []error
	for _, instance := range e.System.Instances(source.Service) {
		rows, err := readSource(ctx, name, urls[instance]+source.Path)
		if err == nil {
			return rows, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
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
