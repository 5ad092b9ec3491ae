// Rejoining: a former primary becomes standby.
//
// Answers: a primary that was replaced may have writes that nobody else has
// (none of them acknowledged). Its data and the new primary's have parted, so it
// takes a fresh copy. A standby that lost touch for so long that the primary has
// thrown its log away does the same.
// Numbers: a copy of the shop's database takes 1 to 2 s. A standby that hears
// nothing for 10 s, from a primary that is there, has lost touch; the copy that
// it had is kept until the next time, in case somebody wants to look at it.
// Costs: the whole database crosses the network; one much larger than the
// shop's would be rewound (pg_rewind) instead.
// Breaks without it: TestFailover. No off switch.

package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"squall/sample-system/postgres/server"
)

const touchTime = 10 * time.Second

// follow keeps this node's server a standby of the primary.
func (a *agent) follow(ctx context.Context, e entry) error {
	switch a.node.mode() {
	case primary:
		a.log.Warn("is primary no more, stops", "primary", e.Primary, "term", e.Term)
		a.node.stop(server.Immediate)
	case stopped:
		return a.join(ctx, e)
	case standby:
		return a.keepTouch(ctx)
	}
	return nil
}

func (a *agent) join(ctx context.Context, e entry) error {
	if a.node.ofStandby() {
		return a.node.start(standby)
	}
	if a.record.free() {
		return nil // nobody to copy from
	}
	a.begin(ctx, "copy from primary", e.Term, func(ctx context.Context) error {
		if err := a.copy(ctx); err != nil {
			return err
		}
		return a.node.start(standby)
	})
	return nil
}

// copy replaces the data by a copy of the primary's.
func (a *agent) copy(ctx context.Context) error {
	next := a.cfg.data() + ".next"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(a.cfg.nodes[2-a.cfg.number])
	if err != nil {
		return err
	}
	err = a.node.in.Run(ctx, "pg_basebackup", "-D", next, "-h", host, "-p", port, "-U", user, "-w",
		"--checkpoint=fast", "--no-sync", "--wal-method=stream", "--no-slot")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(a.cfg.previous()); err != nil {
		return err
	}
	if err := os.Rename(a.cfg.data(), a.cfg.previous()); err != nil && !os.IsNotExist(err) {
		return err
	}
	a.log.Info("has a fresh copy")
	return os.Rename(next, a.cfg.data())
}

// keepTouch notices when the standby does not get on any more.
func (a *agent) keepTouch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := a.node.conn(ctx)
	if err != nil {
		return err
	}
	var receives bool
	if err := conn.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_stat_wal_receiver WHERE status = 'streaming'`).Scan(&receives); err != nil {
		return fmt.Errorf("look at replication: %w", err)
	}
	now := time.Now()
	switch {
	case receives || a.record.free():
		a.silent = time.Time{}
	case a.silent.IsZero():
		a.silent = now
	case now.Sub(a.silent) > touchTime:
		a.silent = time.Time{}
		a.log.Warn("has lost touch with the primary, takes a fresh copy")
		a.node.stop(server.Immediate)
		return os.Remove(a.cfg.data() + "/standby.signal")
	}
	return nil
}
