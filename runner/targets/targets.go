// Package targets defines what a run needs of a system under test, however its
// services run. Each way of running them is a folder of its own.
package targets

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"squall/faults"
)

// Environment is one system under test behind its link proxies.
type Environment interface {
	// Up starts what is not running yet and returns when all is ready.
	Up(ctx context.Context) error
	// Down ends everything Up started; also after a failed Up. Idempotent.
	Down(ctx context.Context) error

	// Target resolves an instance, or "caller -> callee" of two instances.
	Target(name string) (faults.Target, error)
	// Services lists what can be scraped and asked, sorted by name.
	Services() []Service
	// ClientEnv is what the load generator must be told: the variables of the
	// edges whose caller is "client".
	ClientEnv() map[string]string
	// Wire streams what the proxies see, one record.Exchange as JSON a line,
	// from now until ctx ends. A line {"dropped":n} says that n were given up.
	Wire(ctx context.Context) (io.ReadCloser, error)
	// Events delivers what happens to processes until Down. The reader must keep up.
	Events() <-chan Event

	// Renew is the heartbeat: it extends the leases of all our stages, and the
	// environment's own life, by their lease time.
	Renew(ctx context.Context) error
	// Snapshot is a comparable picture of the world: stages on proxies, proxy
	// settings, process states. Equal worlds give equal maps.
	Snapshot(ctx context.Context) (map[string]string, error)
	// Locator lets another process find this environment again.
	Locator() json.RawMessage
}

// Service is one running instance of a service.
type Service struct {
	Name    string // of the instance: "payments-2"
	Of      string // the service: "payments"
	URL     string // base URL past the proxies, "http://127.0.0.1:4000"; empty without a port
	Metrics string // path, empty when not scraped

	Ports map[string]string // host:port of each, past the proxies
}

// Names under which the environment's own processes appear in events. Without
// them there are no faults and no evidence.
const (
	ProxyProcess      = "squall-proxy"
	SupervisorProcess = "squall-supervisor"
	DiskProcess       = "squall-disk" // there when a fault is aimed at a data folder
)

// Event is something that happened to a process.
type Event struct {
	At      time.Time
	Service string
	PID     int
	Event   string // started, ready, exited, killed, paused, resumed, restarted, stopped
	Detail  string
}
