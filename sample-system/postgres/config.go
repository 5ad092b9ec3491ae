package postgres

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"squall/sample-system/internal/service"
)

// config is what a node is told by its environment.
type config struct {
	name   string   // own, "postgres-2"
	peer   string   // the other one's
	nodes  []string // host:port of the servers, by number
	number int      // own, from 1
	host   string   // where the server listens
	port   string
	folder string // of this node
	fsync  string // on, off
	lease  time.Duration
}

func configure(c service.Config) (config, error) {
	dir, err := c.DataDir()
	if err != nil {
		return config{}, err
	}
	base, digits, _ := cutLast(c.Name, "-")
	number, err := strconv.Atoi(digits)
	if err != nil || number < 1 || number > 2 {
		return config{}, fmt.Errorf("configure %s: SHOP_NAME must end with -1 or -2", c.Name)
	}
	nodes := strings.Split(c.Getenv("PG_NODES"), ",")
	for i, n := range nodes {
		nodes[i] = strings.TrimPrefix(strings.TrimSpace(n), "postgres://")
	}
	if len(nodes) != 2 || slices.Contains(nodes, "") {
		return config{}, fmt.Errorf("configure %s: PG_NODES is %q, want host:port,host:port", c.Name, c.Getenv("PG_NODES"))
	}
	cfg := config{
		name: c.Name, peer: base + "-" + strconv.Itoa(3-number), nodes: nodes, number: number,
		folder: filepath.Join(dir, c.Name), fsync: "on", lease: leaseTime,
	}
	if cfg.host, cfg.port, err = net.SplitHostPort(c.Getenv("PG_LISTEN")); err != nil {
		return config{}, fmt.Errorf("configure %s: PG_LISTEN: %w, want host:port", c.Name, err)
	}
	if c.Getenv("PG_FSYNC") == "off" {
		cfg.fsync = "off"
	}
	return cfg, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

func (c config) data() string     { return filepath.Join(c.folder, "data") }
func (c config) previous() string { return filepath.Join(c.folder, "data.previous") }

// settings of the server. They stand on its command line, where nothing that a
// copy brings along can override them; only synchronous_standby_names may
// change while it runs.
func (c config) settings() map[string]string {
	return map[string]string{
		"listen_addresses": c.host, "port": c.port, "unix_socket_directories": "",
		"max_connections": "200", "shared_buffers": "32MB", "fsync": c.fsync, "jit": "off",
		"wal_level": "replica", "hot_standby": "on", "max_wal_senders": "6", "wal_keep_size": "256MB", "synchronous_commit": "on",
		// a link that hangs is noticed within 2 s by the primary, 3 s by the standby
		"wal_sender_timeout": "2s", "wal_receiver_timeout": "3s", "wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "500ms",
		"primary_conninfo": c.conninfo(), "logging_collector": "off", "log_checkpoints": "off", "log_min_messages": "fatal",
	}
}

// conninfo is the way to the other node for replication.
func (c config) conninfo() string {
	host, port, _ := net.SplitHostPort(c.nodes[2-c.number]) // the other of two
	return fmt.Sprintf("host=%s port=%s user=%s application_name=%s connect_timeout=2 sslmode=disable", host, port, user, c.name)
}

// The server's superuser and the shop's database. Connections are not
// authenticated: the server listens on the loopback only.
const (
	user     = "shop"
	database = "shop"
)
