// Bounded pool of connections.
//
// Answers: a database that is slow, hangs or is away. Every call that waits for
// a connection holds a request, and soon the whole service waits for one
// statement; here it waits a moment and is then refused, so that its caller can
// do something else. Who came first is served first. Work that has begun
// (Begun) is not refused at a time when refusing would only spoil it: it may wait
// as long as its context allows.
// Numbers: a statement takes below 10 ms, so a place that does not come free
// within 200 ms is not going to come soon. Begun work waits at most 2 s, what a
// checkout may take altogether. Making a new connection may take 1 s, above the
// time a busy machine needs for it.
// Costs: a burst beyond the pool's throughput of 200 ms is refused with 503.
// Breaks without it: TestPoolExhausted; playbook "connection pool exhausted".
// No off switch.

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
)

const (
	doorWait    = 200 * time.Millisecond // of what begins, for a connection or the lock of a file
	begunWait   = 2 * time.Second        // of what has begun
	connectTime = time.Second            // for a new connection
)

type begunKey struct{}

// Begun marks calls that belong to work which has begun, and which it would cost
// more to break off than to wait for.
func Begun(ctx context.Context) context.Context { return context.WithValue(ctx, begunKey{}, true) }

// patience is how long a call with ctx waits.
func patience(ctx context.Context) time.Duration {
	if ctx.Value(begunKey{}) != nil {
		return begunWait
	}
	return doorWait
}

// Why a call failed through no fault of its own.
var (
	ErrBusy        error = &refusal{"database is busy"}            // no connection came free in time; nothing was done
	ErrUnavailable error = &refusal{"database is unavailable"}     // no connection could be made; nothing was done
	ErrLost        error = &refusal{"database connection is lost"} // amid the call: what was done is unknown
)

// refusal answers a request as 503 if nobody on the way has a better answer.
type refusal struct{ title string }

func (r *refusal) Error() string { return r.title }

// As makes the error a Problem.
func (r *refusal) As(target any) bool {
	p, ok := target.(*service.Problem)
	if ok {
		*p = service.Problem{Status: http.StatusServiceUnavailable, Title: r.title}
	}
	return ok
}

// pool is a bounded set of connections with its gauges.
type pool struct {
	sql     *sql.DB
	places  chan struct{} // one for each connection that is lent out
	waited  prometheus.Observer
	refused prometheus.Counter
}

// newPool bounds db to size connections, all of which may stay open.
func newPool(h *service.Host, db *sql.DB, name string, size int) *pool {
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	p := &pool{
		sql: db, places: make(chan struct{}, size),
		waited:  h.Histogram("db_wait_seconds", "Time until a connection was had, or refused.", "pool").WithLabelValues(name),
		refused: h.Counter("db_refused_total", "Calls that got no connection.", "pool").WithLabelValues(name),
	}
	labels := prometheus.Labels{"pool": name}
	h.GaugeFunc("db_connections_in_use", "Connections that are lent out.", labels, func() float64 { return float64(len(p.places)) })
	h.GaugeFunc("db_connections_max", "Connections that may be open.", labels, func() float64 { return float64(size) })
	return p
}

// take takes a connection. It must be given back.
func (p *pool) take(ctx context.Context) (*sql.Conn, error) {
	started := time.Now()
	conn, err := p.wait(ctx)
	p.waited.Observe(time.Since(started).Seconds())
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrUnavailable) {
		p.refused.Inc()
	}
	return conn, err
}

func (p *pool) wait(ctx context.Context) (*sql.Conn, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := p.sql.Conn(limited)
	if err == nil {
		return conn, nil
	}
	p.leave()
	if ctx.Err() != nil {
		return nil, ctx.Err() // the caller's time is over, not our patience
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// enter takes a place; who waits longest is the next to get one.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(patience(ctx))
	defer t.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-t.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) leave() { <-p.places }

// give returns a connection as soon as its result set is closed, which
// Conn.Close waits for.
func (p *pool) give(conn *sql.Conn) {
	_ = conn.Close() // an error means it is closed already
	p.leave()
}
