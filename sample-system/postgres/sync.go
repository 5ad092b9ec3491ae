// Synchronous replication.
//
// Answers: a write that was acknowledged and is on the primary only is lost with
// it. Each commit waits until the standby has it on disk; only then may the
// standby take over. When the standby is gone the primary goes on alone, but
// first has the record say that nobody may take over from it; when the standby
// is back, it has to catch up before the record says otherwise. So at any moment
// either every commit waits for the standby, or nobody may take over.
// Numbers: a standby is gone when it has not been connected for 1 s; one that
// hangs is disconnected after 2 s (wal_sender_timeout). It may be waited for
// again when it is less than 16 MB behind.
// Costs: a commit takes one round trip and the standby's disk; writes stand
// still for 1 to 3 s when the standby dies.
// Breaks without it: scenario database-failover, TestFailover, TestStaleStandbyDoesNotTakeOver. No off switch.

package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	goneAfter = time.Second
	nearBy    = 16 << 20 // bytes of log
)

// state is what the primary says about its standby.
type state struct {
	waiting   bool  // commits wait for the standby
	connected bool  // it receives
	counts    bool  // the primary takes its answers into account
	written   int64 // position of the log: what the primary has written
	flushed   int64 // and what the standby has on disk
}

// step is what is to be done next.
type step int

const (
	nothing  step = iota
	wait          // let commits wait for the standby
	trust         // have the record say that the standby may take over
	distrust      // have the record say that it may not
	goAlone       // let commits wait no more
)

// replication decides how to go on with the standby.
type replication struct {
	gone   time.Time // since when it is not connected
	target int64     // position by which it has all that was not waited for
}

// next is the next step, given whether the record trusts the standby. Going
// alone comes after distrust, trust after waiting: the order is the point.
func (r *replication) next(now time.Time, s state, trusted bool) step {
	if trusted && !s.waiting {
		return distrust // must not be; then at least nobody takes over
	}
	if !s.connected {
		r.target = 0
		if r.gone.IsZero() {
			r.gone = now
		}
		switch {
		case now.Sub(r.gone) < goneAfter:
			return nothing
		case trusted:
			return distrust
		case s.waiting:
			return goAlone
		default:
			return nothing
		}
	}
	r.gone = time.Time{}
	switch {
	case trusted:
		return nothing
	case !s.waiting:
		r.target = 0
		if s.written-s.flushed < nearBy {
			return wait
		}
		return nothing
	case !s.counts:
		return nothing
	case r.target == 0:
		r.target = s.written // commits before this one may not have waited
		return nothing
	case s.flushed >= r.target:
		return trust
	default:
		return nothing
	}
}

// replicate takes the next step on the primary.
func (a *agent) replicate(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := a.node.conn(ctx)
	if err != nil {
		return err
	}
	s, err := a.ask(ctx, conn)
	if err != nil {
		return fmt.Errorf("look at replication: %w", err)
	}
	step := a.sync.next(time.Now(), s, e.Sync != "")
	if step == nothing {
		return nil
	}
	a.log.Info("replication", "step", step.String(), "standby", a.cfg.peer, "behind", s.written-s.flushed)
	switch step {
	case wait:
		return waitFor(ctx, conn, pgx.Identifier{a.cfg.peer}.Sanitize())
	case goAlone:
		return waitFor(ctx, conn, "")
	case trust:
		e.Sync = a.cfg.peer
	case distrust:
		e.Sync = ""
	}
	return a.record.write(ctx, e)
}

func (a *agent) ask(ctx context.Context, conn *pgx.Conn) (s state, err error) {
	var names string
	err = conn.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names'), (pg_current_wal_lsn() - '0/0')::bigint,
		count(flush_lsn) > 0, coalesce(bool_or(sync_state = 'sync'), false), coalesce(max(flush_lsn - '0/0'), 0)::bigint
		FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`, a.cfg.peer).
		Scan(&names, &s.written, &s.connected, &s.counts, &s.flushed)
	s.waiting = strings.Contains(names, a.cfg.peer)
	return s, err
}

// waitFor names the standby that commits wait for, none if empty.
func waitFor(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, `ALTER SYSTEM SET synchronous_standby_names = '`+name+`'`); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `SELECT pg_reload_conf()`)
	return err
}

// String is for the log.
func (s step) String() string {
	return [...]string{"nothing", "wait", "trust", "distrust", "go alone"}[s]
}
