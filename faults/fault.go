// Package faults is the catalogue of fault kinds: one file each, with its
// parameters, what it needs of its target, how it acts and how it is undone.
//
// Kinds are dumb. The life cycle (undo on disk, inject, seen biting, revert,
// seen gone) is a state machine around them, in runner/inject.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"time"
)

// Capability is what a fault kind needs of its target. Plans are refused while
// planning, not while running, where the target lacks it.
type Capability string

// The capabilities a target may have.
const (
	NeedsLink     Capability = "tcp link"              // any edge that runs through a proxy
	NeedsHTTPLink Capability = "http link"             // an edge whose protocol is http
	NeedsGRPCLink Capability = "grpc link"             // an edge whose protocol is grpc
	NeedsProcess  Capability = "process"               // a service that Squall may signal and start
	NeedsBus      Capability = "nats link"             // an edge whose protocol is nats
	NeedsBusNode  Capability = "node of a nats broker" // a service that nats edges lead to
	NeedsPostgres Capability = "postgres link"         // an edge whose protocol is postgres
	NeedsDatabase Capability = "postgres link to a database that squall may log in to"
	NeedsService  Capability = "service" // any service
	NeedsZone     Capability = "zone"    // a zone of the system file
	NeedsData     Capability = "data folder on a disk of squall's own"
	NeedsMemory   Capability = "process whose memory squall may limit"
	NeedsClock    Capability = "clock that squall may set" // a service with clock.env
)

// ErrGone says that a target does not exist any more: what was injected into
// it went with it, so there is nothing left to revert.
var ErrGone = errors.New("target no longer exists")

// Kind describes one kind of fault.
type Kind struct {
	Name    string // "net-latency"
	Summary string // one line
	Doc     string // what happens, what the receipt counts, how it is undone
	Needs   Capability
	Params  any // zero value of the parameter struct: source of schema and reference

	// Exactly one of them is set. Unit is what the kind acts on, one after the
	// other ("request"): it takes the parameters that choose among them. Whole says
	// why there is nothing to choose among.
	Unit  string
	Whole string

	// Transient faults may end by themselves once they have acted. Any other
	// must stand until it is reverted.
	Transient bool

	// Once says that of several targets one stands for all, such as the links to
	// one broker: then only the first is acted on.
	Once bool

	// Missing says why this machine cannot do it, "" if it can; nil: every
	// machine can. It leaves no trace. Plans are refused by it, and squall doctor tells.
	Missing func() string

	// New decodes and checks the parameters. It touches nothing. Nil for a
	// composite kind, as is Revert.
	New func(decode func(into any) error) (Fault, error)

	// Revert undoes an injection from what Prepare returned. It is idempotent,
	// needs no Fault, and may run in another process than Inject did.
	Revert func(ctx context.Context, x Injection, undo json.RawMessage) error

	// Compose is what makes a kind composite: it is nothing but other kinds on
	// other targets, and says which for the target on and its parameters.
	Compose func(on string, decode func(into any) error) (Composition, error)
}

// Composition is what a composite fault is made of.
type Composition struct {
	Says  string // the parameters in words
	Parts []Part // injected one after the other, undone all at once
}

// Part is a share of a composite fault: a kind on everything that On names, as
// a scenario would write it.
type Part struct {
	Kind   string
	On     string
	Params map[string]any // as in a scenario file
}

// Injection is one use of a fault on one target.
type Injection struct {
	ID     string
	Target Target
	Seed   uint64 // this fault's own stream of chance

	// Owner and Lease go to whatever can end without us: it ends by itself when
	// its owner has not renewed it for so long. Lease 0: never.
	Owner string
	Lease time.Duration
}

// Fault is a kind with its parameters.
type Fault interface {
	// Describe says the parameters in words: "3s ± 200ms".
	Describe() string
	// Prepare only reads; what it returns is all that Revert will get.
	Prepare(ctx context.Context, x Injection) (undo json.RawMessage, err error)
	// Inject may stop half-way; Revert copes with that.
	Inject(ctx context.Context, x Injection) error
	// Observe measures, it does not assume.
	Observe(ctx context.Context, x Injection) (Evidence, error)
}

// Evidence is what Observe saw.
type Evidence struct {
	Active  bool // the fault is in force now
	Receipt Receipt
}

// Receipt counts what a fault affected.
type Receipt struct {
	Hits  uint64    `json:"hits"`
	Unit  string    `json:"unit"` // requests, connections, bytes, processes, messages
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Items []string  `json:"items,omitempty"`
	Note  string    `json:"note,omitempty"`
}

// Target is something a fault can be aimed at. What it can do is said by the
// interfaces below; a kind that needs one asserts it.
type Target interface {
	Name() string // "orders" or "orders -> payments"
}

// Link is an edge that runs through a link proxy.
type Link interface {
	Target
	// PutStage adds or replaces the stage id. It returns when live connections
	// have switched to it, or with an error that says how many have not.
	PutStage(ctx context.Context, id string, s Stage) error
	// DeleteStage is idempotent.
	DeleteStage(ctx context.Context, id string) error
	// StageStatus returns ErrNoStage when there is none of that id.
	StageStatus(ctx context.Context, id string) (StageStatus, error)
}

// ErrNoStage is returned for a stage that is not there (any more).
var ErrNoStage = errors.New("no such stage")

// Process is a service Squall may signal and start.
type Process interface {
	Target
	// Identity of the running process; ErrNotRunning when there is none.
	Identity(ctx context.Context) (ProcessID, error)
	// Signal refuses to signal a recycled PID: then ErrNotRunning.
	Signal(ctx context.Context, id ProcessID, sig string) error // KILL, TERM, STOP, CONT
	// Start starts the service anew if it is not running, and waits for readiness.
	Start(ctx context.Context) error
	// State is running, stopped (SIGSTOP) or dead.
	State(ctx context.Context, id ProcessID) (string, error)
}

// ErrNotRunning says that a service has no process now.
var ErrNotRunning = errors.New("not running")

// ProcessID names a process beyond doubt: PIDs are recycled, the start time
// (clock ticks since boot, /proc/PID/stat field 22) tells them apart.
type ProcessID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Bus is an edge to a message broker.
type Bus interface {
	Target
	URL() string // of the broker itself, past the proxy: nats://host:port
}

// Database is an edge to a PostgreSQL server.
type Database interface {
	Link
	// DSN is the address of the server itself, past the proxy, with what it takes
	// to log in. It belongs in no record.
	DSN() (string, error)
	// Sources are the addresses that the proxy's live connections to the server come from, oldest first.
	Sources(ctx context.Context) ([]netip.AddrPort, error)
}
