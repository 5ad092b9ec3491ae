package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"squall/sample-system/postgres/server"
)

// mode is what a server is, or is about to be.
type mode string

const (
	stopped mode = "stopped"
	standby mode = "standby"
	primary mode = "primary"
)

// stopTime is how long a server may take to stop before it is forced to.
const stopTime = time.Second

// node is this node's server.
type node struct {
	cfg       config
	in        *server.Installation
	log       *slog.Logger
	mu        sync.Mutex
	server    *server.Server // nil: stopped
	is        mode
	connected *pgx.Conn // of the agent's task alone
}

func newNode(cfg config, log *slog.Logger) (*node, error) {
	in, err := server.Find()
	if err != nil {
		return nil, err
	}
	if err := in.Folder(cfg.folder); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return &node{cfg: cfg, in: in, log: log, is: stopped}, nil
}

// mode is what the server is now.
func (n *node) mode() mode {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		select {
		case <-n.server.Done():
			n.log.Warn("server ended", "how", n.server.Err())
			n.server, n.is = nil, stopped
		default:
		}
	}
	return n.is
}

// start starts the server, unless it runs. A primary must hold the lease by then.
func (n *node) start(as mode) error {
	signal := filepath.Join(n.cfg.data(), "standby.signal")
	if as == standby {
		if err := os.WriteFile(signal, nil, 0o600); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		return nil
	}
	s, err := n.in.Start(n.cfg.data(), n.cfg.settings(), &lines{log: n.log})
	if err != nil {
		return err
	}
	n.server, n.is = s, as
	return nil
}

// stop ends the server and waits for its end.
func (n *node) stop(how syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.server.Stop(how, stopTime)
		n.server, n.is = nil, stopped
	}
}

// promoting marks a standby that is about to take writes.
func (n *node) promoting() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		n.is = primary
	}
}

// A data folder is empty, of a standby, or of a server that has been primary.
func (n *node) has(file string) bool {
	_, err := os.Stat(filepath.Join(n.cfg.data(), file))
	return err == nil
}

func (n *node) empty() bool      { return !n.has("PG_VERSION") }
func (n *node) ofStandby() bool  { return !n.empty() && n.has("standby.signal") }
func (n *node) wasPrimary() bool { return !n.empty() && !n.has("standby.signal") }

// create makes an empty database cluster.
func (n *node) create(ctx context.Context) error {
	return n.in.Run(ctx, "initdb", "-D", n.cfg.data(), "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
}

// conn is the agent's own connection. It does not wait for the standby.
func (n *node) conn(ctx context.Context) (*pgx.Conn, error) {
	if n.connected != nil && !n.connected.IsClosed() {
		return n.connected, nil
	}
	cfg, err := pgx.ParseConfig("postgres://" + user + "@" + net.JoinHostPort(n.cfg.host, n.cfg.port) + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = "agent"
	cfg.RuntimeParams["synchronous_commit"] = "local"
	n.connected, err = pgx.ConnectConfig(ctx, cfg)
	return n.connected, err
}

// await waits until the server answers.
func (n *node) await(ctx context.Context) (*pgx.Conn, error) {
	for {
		conn, err := n.conn(ctx)
		if err == nil {
			err = conn.Ping(ctx) // it may be one to a server that is gone
		}
		if err == nil {
			return conn, nil
		}
		if n.mode() == stopped {
			return nil, errors.New("server ended while it started")
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lines passes the server's own log on, line by line.
type lines struct {
	log  *slog.Logger
	rest []byte
}

// Write is called by one goroutine of the server's.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.log.Info("server", "line", string(line))
		l.rest = rest
	}
}
