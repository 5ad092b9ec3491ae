package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
	"squall/sample-system/postgres/server"
)

// agent runs a node: it looks at the record, and brings its server to what the
// record says.
type agent struct {
	cfg       config
	log       *slog.Logger
	node      *node
	record    *record
	sync      replication
	silent    time.Time // since when this standby hears nothing from its primary
	failovers prometheus.Counter

	job    *job // what takes long and is under way; nil: nothing
	opened bool // the primary's server; of the job while there is one
}

func newAgent(h *service.Host, cfg config, b *bus.Bus) (*agent, error) {
	n, err := newNode(cfg, h.Logger)
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", h.Name, err)
	}
	return &agent{
		cfg: cfg, log: h.Logger, node: n, record: &record{bus: b, own: cfg.name},
		failovers: h.Counter("pg_failovers_total", "Times this node has taken over.").WithLabelValues(),
	}, nil
}

// run works until ctx ends, and then hands over.
func (a *agent) run(ctx context.Context) error {
	for {
		if err := a.step(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("agent", "error", err)
		}
		if backoff.Wait(ctx, lookEvery, nil) != nil {
			break
		}
	}
	if a.job != nil {
		a.job.cancel()
		<-a.job.done
	}
	a.handOver()
	return nil
}

func (a *agent) step(ctx context.Context) error {
	err := a.record.look(ctx)
	e := a.record.now()
	if a.busy(e.Term) {
		if err == nil && a.record.holds() {
			err = a.record.write(ctx, e)
		}
		return err
	}
	switch {
	case errors.Is(err, errNoRecord):
		return a.found(ctx)
	case err != nil:
		return err
	case e.Primary == a.cfg.name:
		return a.lead(ctx, e)
	case a.mayTakeOver(e):
		return a.takeOver(ctx, e)
	default:
		return a.follow(ctx, e)
	}
}

// found makes this node the first primary: the first node, or one that has been
// primary before.
func (a *agent) found(ctx context.Context) error {
	if a.cfg.number != 1 && !a.node.wasPrimary() {
		return nil
	}
	return a.record.write(ctx, entry{Primary: a.cfg.name, Term: 1})
}

// lead keeps the lease, and the server primary.
func (a *agent) lead(ctx context.Context, e entry) error {
	e.Released = false
	if a.node.empty() && e.Sync != "" {
		return fmt.Errorf("the data of %s is gone; its standby has all of it", a.cfg.name)
	}
	if err := a.record.write(ctx, e); err != nil {
		return err
	}
	switch mode := a.node.mode(); {
	case mode == stopped:
		a.begin(ctx, "start as primary", e.Term, func(ctx context.Context) error { return a.startPrimary(ctx, e) })
		return nil
	case mode == standby || !a.opened:
		a.begin(ctx, "open as primary", e.Term, func(ctx context.Context) error { return a.open(ctx, e) })
		return nil
	default:
		return a.replicate(ctx, e)
	}
}

// startPrimary starts the server of the primary. That of one which was chosen,
// and died before it was promoted, is a standby still.
func (a *agent) startPrimary(ctx context.Context, e entry) error {
	a.opened = false
	if a.node.empty() {
		if err := a.node.create(ctx); err != nil {
			return err
		}
	}
	as := primary
	if a.node.ofStandby() {
		as = standby
	}
	if !a.record.holds() {
		return nil
	}
	if err := a.node.start(as); err != nil {
		return err
	}
	return a.open(ctx, e)
}

// open brings a running server to where clients can use it: promoted, with the
// shop's database, and its term entered. It may be repeated.
func (a *agent) open(ctx context.Context, e entry) error {
	a.opened = false
	conn, err := a.node.await(ctx)
	if err != nil {
		return err
	}
	if err := a.promote(ctx, conn); err != nil {
		return err
	}
	if e.Sync == "" { // a copy brings along whom its source has waited for
		if err := waitFor(ctx, conn, ""); err != nil {
			return err
		}
	}
	if err := create(ctx, conn); err != nil {
		return err
	}
	if err := a.enterTerm(ctx, conn, e); err != nil {
		return err
	}
	a.log.Info("is primary", "term", e.Term)
	a.opened = true
	return nil
}

// create makes sure that the shop's database is there.
func create(ctx context.Context, conn *pgx.Conn) error {
	var n int
	err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_database WHERE datname = $1`, database).Scan(&n)
	if err == nil && n == 0 {
		_, err = conn.Exec(ctx, `CREATE DATABASE `+database)
	}
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// handOver stops the server, at the primary so that the standby has everything,
// and lets the standby take over at once.
func (a *agent) handOver() {
	e := a.record.now()
	leads := a.node.mode() == primary && a.record.holds()
	a.node.stop(server.Fast)
	if !leads {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookEvery)
	defer cancel()
	e.Released = true
	if err := a.record.write(ctx, e); err != nil {
		a.log.Warn("the standby has to wait for the lease's end", "error", err)
	}
}

// ready: a primary that takes writes, or a standby that could take over.
func (a *agent) ready(context.Context) error {
	e := a.record.now()
	switch a.node.mode() {
	case primary:
		if !a.record.holds() {
			return errors.New("primary without a lease")
		}
		return nil
	case standby:
		if e.Sync != a.cfg.name {
			return errors.New("standby has not everything yet")
		}
		return nil
	default:
		return errors.New("server does not run")
	}
}
