package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// DBLockParams are the parameters of db-lock.
type DBLockParams struct {
	Table    string `yaml:"table" doc:"Table to lock, schema.table if it is not on the search path."`
	Advisory *int   `yaml:"advisory" doc:"Instead of a table: the key of an advisory lock."`
}

// lockLook is how often the lock's victims are counted; a query that waits for
// less may be missed.
const lockLook = 10 * time.Millisecond

// lockUndo is the session that holds the lock, by its application_name.
type lockUndo struct {
	Session string `json:"session"`
}

// dbLock holds a lock by a session of its own.
type dbLock struct {
	DBLockParams
	session string

	mu      sync.Mutex
	waited  map[string]bool // transactions seen waiting for the lock
	first   time.Time
	last    time.Time
	watched chan struct{} // closed when the session is over; nil: there never was one
}

var tablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)

func newDBLock(decode func(any) error) (Fault, error) {
	f := &dbLock{waited: map[string]bool{}}
	if err := decode(&f.DBLockParams); err != nil {
		return nil, err
	}
	switch {
	case (f.Table == "") == (f.Advisory == nil):
		return nil, errors.New("write either table or advisory")
	case f.Table != "" && !tablePattern.MatchString(f.Table):
		return nil, fmt.Errorf("table %q is no name: write orders or shop.orders", f.Table)
	}
	return f, nil
}

// Describe says the parameters in words.
func (f *dbLock) Describe() string {
	if f.Advisory != nil {
		return fmt.Sprintf("advisory lock %d held", *f.Advisory)
	}
	return "table " + f.Table + " locked ACCESS EXCLUSIVE"
}

// Prepare sees that the table is there and names the session to come.
func (f *dbLock) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	err := withDatabase(ctx, x.Target, func(ctx context.Context, conn *pgx.Conn) error {
		if f.Table == "" {
			return nil
		}
		var there bool
		if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, f.table()).Scan(&there); err != nil || there {
			return err
		}
		return fmt.Errorf("the database behind %s has no table %s", x.Target.Name(), f.Table)
	})
	if err != nil {
		return nil, err
	}
	f.session = fmt.Sprintf("squall-lock-%016x", lockKey(x))
	return json.Marshal(lockUndo{f.session})
}

func (f *dbLock) table() string { return pgx.Identifier(strings.Split(f.Table, ".")).Sanitize() }

// lockKey is the same for all links of one fault, and for no other fault.
func lockKey(x Injection) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d", x.Owner, x.ID, x.Seed)
	return int64(h.Sum64())
}

// Inject takes the lock, unless another link of this fault holds it already, or
// the server is a standby.
func (f *dbLock) Inject(ctx context.Context, x Injection) error {
	conn, err := dialDatabase(ctx, x.Target, f.session)
	if err != nil {
		return err
	}
	held, err := f.take(ctx, conn, x)
	if err != nil || !held {
		return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	f.watched = make(chan struct{})
	go f.watch(context.WithoutCancel(ctx), conn)
	return nil
}

func (f *dbLock) take(ctx context.Context, conn *pgx.Conn, x Injection) (held bool, err error) {
	var standby, ours bool
	// The advisory lock elects one session among the links of the fault.
	if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), pg_try_advisory_lock($1)`, lockKey(x)).Scan(&standby, &ours); err != nil || standby || !ours {
		return false, err
	}
	lock := fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, f.key())
	if f.Table != "" {
		lock = "LOCK TABLE " + f.table() + " IN ACCESS EXCLUSIVE MODE"
	}
	for _, sql := range []string{
		fmt.Sprintf("SET lock_timeout = %d", dbTimeout.Milliseconds()),
		"SET statement_timeout = 0",
		// The lease: a session of a runner that fell silent is ended by the server.
		fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", x.Lease.Milliseconds()),
		"BEGIN", lock,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return false, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return true, nil
}

func (f *dbLock) key() int {
	if f.Advisory == nil {
		return 0
	}
	return *f.Advisory
}

// watch counts the victims, which is also the heartbeat, until the session is
// ended: by the undo, whoever does it. Observe waits for that.
func (f *dbLock) watch(ctx context.Context, conn *pgx.Conn) {
	defer close(f.watched)
	defer conn.Close(ctx)
	tick := time.NewTicker(lockLook)
	defer tick.Stop()
	for ; ; <-tick.C {
		bounded, cancel := context.WithTimeout(ctx, dbTimeout)
		rows, err := conn.Query(bounded, `SELECT pid || ' ' || virtualtransaction FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))`)
		if err == nil {
			var victims []string
			if victims, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
				f.count(victims)
			}
		}
		cancel()
		if err != nil {
			return
		}
	}
}

func (f *dbLock) count(victims []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, v := range victims {
		if len(f.waited) == 0 {
			f.first = now
		}
		if !f.waited[v] {
			f.waited[v], f.last = true, now
		}
	}
}

// Observe tells whether the session stands, and whom it has made wait.
func (f *dbLock) Observe(ctx context.Context, x Injection) (Evidence, error) {
	if f.watched == nil {
		return Evidence{}, nil
	}
	e := Evidence{}
	select {
	case <-f.watched:
		left, err := f.left(ctx, x)
		if err != nil {
			return Evidence{}, err
		}
		e.Active = left
	default:
		e.Active = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Receipt = Receipt{
		Hits: uint64(len(f.waited)), Unit: "queries", First: f.first, Last: f.last,
		Note: fmt.Sprintf("held by session %s; who waited was looked at every %v", f.session, lockLook),
	}
	return e, nil
}

// left asks the server whether a session of ours that we lost is still there.
func (f *dbLock) left(ctx context.Context, x Injection) (left bool, err error) {
	err = withDatabase(ctx, x.Target, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)`, f.session).Scan(&left)
	})
	if serverGone(err) {
		return false, nil
	}
	return left, err
}

// revertLock ends the session that holds the lock.
func revertLock(ctx context.Context, x Injection, undo json.RawMessage) error {
	var u lockUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	err := withDatabase(ctx, x.Target, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := endSessions(ctx, conn, `application_name = $1`, u.Session)
		return err
	})
	if serverGone(err) || errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

func init() {
	builtin(Kind{
		Name:    "db-lock",
		Summary: "a table or an advisory lock is held by somebody else",
		Needs:   NeedsDatabase,
		Whole:   "a lock is held or it is not",
		Params:  DBLockParams{},
		Doc: `A session of Squall's own takes the lock and keeps it, as a forgotten transaction or a migration does: whoever needs the
table, even to read it, waits or runs into a timeout, whatever edge it comes by. Of several servers behind the edge the primary is
hit. The server ends the session by itself when Squall falls silent for the lease (idle_in_transaction_session_timeout).
Receipt: queries seen waiting for the lock, looked at every 10 ms. Undo: pg_terminate_backend of that session, found by its
application_name.`,
		New:    newDBLock,
		Revert: revertLock,
	})
}
