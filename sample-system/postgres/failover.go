// Failover: the standby takes over.
//
// Answers: the primary is dead, paused or cut off. The standby promotes its
// server, but only if the record says that it has every acknowledged write; it
// then is the primary of the next term, which the record gives to one node only.
// Numbers: see record.go; promotion takes about 0.3 s, and is given 10 s.
// Costs: while the standby is not in sync nobody takes over, and the database
// waits for its primary: rather no answer than lost writes.
// Breaks without it: scenario database-failover, TestFailover, TestStaleStandbyDoesNotTakeOver. No off switch.

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
)

// mayTakeOver reports whether the primary is gone and this node may replace it.
func (a *agent) mayTakeOver(e entry) bool {
	return a.record.free() && e.Sync == a.cfg.name && a.node.mode() == standby
}

func (a *agent) takeOver(ctx context.Context, e entry) error {
	next := entry{Primary: a.cfg.name, Term: e.Term + 1}
	if err := a.record.write(ctx, next); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	a.failovers.Inc()
	a.log.Warn("takes over", "from", e.Primary, "term", next.Term, "released", e.Released)
	a.begin(ctx, "open as primary", next.Term, func(ctx context.Context) error { return a.open(ctx, next) })
	return nil
}

// promote makes a standby primary, and does nothing to a primary.
func (a *agent) promote(ctx context.Context, conn *pgx.Conn) error {
	var isStandby, done bool
	if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&isStandby); err != nil || !isStandby {
		return err
	}
	if !a.record.holds() {
		return errors.New("promote: the lease has run out")
	}
	a.node.promoting() // from here on the fence is on it
	if err := conn.QueryRow(ctx, `SELECT pg_promote(true, 10)`).Scan(&done); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	if !done {
		return errors.New("promote: not done within 10 s")
	}
	return nil
}

// enterTerm writes the term into the database itself, so that it can be seen
// afterwards who has written when: each term has one primary.
func (a *agent) enterTerm(ctx context.Context, conn *pgx.Conn, e entry) error {
	_, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS terms (id BIGINT GENERATED ALWAYS AS IDENTITY, term BIGINT, node TEXT, at BIGINT)`)
	if err == nil {
		_, err = conn.Exec(ctx, `INSERT INTO terms (term, node, at) VALUES ($1, $2, $3)`, e.Term, a.cfg.name, time.Now().UnixNano())
	}
	if err != nil {
		return fmt.Errorf("enter term %d: %w", e.Term, err)
	}
	return nil
}

// handleTerms shows the terms as this node's server knows them: the key is the
// term, and there is one row for each start of a primary in it.
func (a *agent) handleTerms(w http.ResponseWriter, r *http.Request) error {
	n := &node{cfg: a.cfg} // a connection of its own
	conn, err := n.conn(r.Context())
	if err != nil {
		return service.Problem{Status: http.StatusServiceUnavailable, Title: "server does not answer"}
	}
	defer conn.Close(context.WithoutCancel(r.Context()))
	rows, err := conn.Query(r.Context(), `SELECT id, term, node, at FROM terms ORDER BY id`)
	if err != nil {
		return err
	}
	books, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.Row, error) {
		var id, term, at int64
		var name string
		err := row.Scan(&id, &term, &name, &at)
		return audit.Row{
			Key: strconv.FormatInt(term, 10), ID: strconv.FormatInt(id, 10), Effect: 1, State: "primary",
			Attrs: map[string]string{"writer": name, "term": strconv.FormatInt(term, 10)}, At: at,
		}, err
	})
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, append([]audit.Row{}, books...))
}
