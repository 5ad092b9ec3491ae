package faults

import (
	"encoding/json"
	"time"
)

// Stage is what a link proxy does to an edge on behalf of one fault. It is
// data: kinds build it, the proxy runs it, and no kind is known to the proxy.
// Exactly one of its acts is set: the fields before Seed.
type Stage struct {
	// Toxics are Toxiproxy toxics, run in order on every connection.
	Toxics []Toxic `json:"toxics,omitempty"`
	// Mode changes how connections are made.
	Mode LinkMode `json:"mode,omitempty"`
	// Reset sends RST on all live connections, idle ones too, once per PutStage,
	// and on every new connection while the stage stands.
	Reset bool `json:"reset,omitempty"`
	// Flap takes the edge down as LinkRefuse does, and up again, by turns.
	Flap *Flap `json:"flap,omitempty"`
	// Accept holds each new connection so long (nanoseconds) before anything is
	// read or dialled. A stage that goes lets go what it holds.
	Accept time.Duration `json:"accept,omitempty"`
	// TLS meets new connections with a certificate that is no good.
	TLS *TLSAct `json:"tls,omitempty"`
	// Packets loses packets between callers and proxy, in the kernel.
	Packets *PacketRule `json:"packets,omitempty"`
	// HTTP acts on chosen requests of an HTTP edge.
	HTTP *HTTPRule `json:"http,omitempty"`
	// Bus acts on chosen messages of a NATS edge.
	Bus *BusRule `json:"bus,omitempty"`
	// Query holds the answers to chosen queries of a PostgreSQL edge.
	Query *QueryRule `json:"query,omitempty"`

	// Match limits the stage to some units: requests for HTTP, connections for
	// everything else. Refused connections cannot be chosen among.
	Match Match `json:"match,omitzero"`
	// After keeps the stage asleep until that has been seen.
	After *Trigger `json:"after,omitempty"`
	// Ramp is how long the stage grows from nothing to full once it is awake: a
	// delay or a rate in size, everything else in the share of units it hits.
	Ramp time.Duration `json:"ramp,omitempty"` // nanoseconds
	// Cap is how many units are hit at most, over all links that hold a stage of
	// this owner and id; 0: no limit. Then the stage stands and does nothing more.
	Cap uint64 `json:"cap,omitempty"`

	Seed  uint64        `json:"seed,omitempty"`  // of a fault, the same on all its links
	Owner string        `json:"owner,omitempty"` // the run; leases are renewed by owner
	Lease time.Duration `json:"lease,omitempty"` // nanoseconds; 0: none. Unrenewed, the stage is removed
}

// LinkMode is how an edge treats connections while a stage stands.
type LinkMode string

// The link modes.
const (
	// LinkRefuse closes the listener (connection refused) and resets live connections.
	LinkRefuse LinkMode = "refuse"
	// LinkHang accepts and then passes nothing either way, on live connections
	// too; nothing is dialled. What was held is delivered when the stage goes
	// if both sides are still there.
	LinkHang LinkMode = "hang"
)

// Flap is a schedule of outages. It begins with one, whose length is drawn from
// the seed between half and all of Down, so that edges do not flap in step.
type Flap struct {
	Up   time.Duration `json:"up"`   // nanoseconds
	Down time.Duration `json:"down"` // nanoseconds
}

// TLSAct answers the TLS handshakes of new connections in the upstream's place.
type TLSAct struct {
	Cert TLSCert `json:"cert"`
	// Reset resets the live connections, so that their callers come again.
	Reset bool `json:"reset,omitempty"`
}

// TLSCert is what is wrong with a certificate.
type TLSCert string

// The certificates.
const (
	TLSExpired   TLSCert = "expired"   // its time is over
	TLSUntrusted TLSCert = "untrusted" // valid, but nobody knows its issuer
)

// Toxic is one Toxiproxy toxic (Toxiproxy's own JSON form, its units).
type Toxic struct {
	Name       string          `json:"name,omitempty"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream,omitempty"` // upstream, downstream (default)
	Toxicity   float32         `json:"toxicity"`         // drawn per connection, from the stage's seed
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

// Match limits a stage to some units. All that is set must hold. Indexes count
// from 1 the units that match method, path, header and key, over all links that
// hold a stage of the same owner and id.
type Match struct {
	Method string            `json:"method,omitempty"` // exact, upper case; requests only, as the next three
	Path   string            `json:"path,omitempty"`   // path.Match pattern; a trailing /** matches any rest
	Header map[string]string `json:"header,omitempty"` // value by name; a trailing * matches any rest
	Key    string            `json:"key,omitempty"`    // Idempotency-Key or X-Request-Id, likewise

	From        uint64  `json:"from,omitempty"`        // only from the nth on; First and Every count from there
	First       uint64  `json:"first,omitempty"`       // only the first n
	Every       uint64  `json:"every,omitempty"`       // only every nth: n, 2n, ...
	Probability float64 `json:"probability,omitempty"` // per unit, 0..1; 0: not limited. Drawn from seed and index
}

// Counts tells whether the nth of the units that match, from 1, is among those
// that From, First and Every choose.
func (m Match) Counts(n uint64) bool {
	if n < m.From {
		return false
	}
	if m.From > 0 {
		n -= m.From - 1
	}
	return (m.First == 0 || n <= m.First) && (m.Every == 0 || n%m.Every == 0)
}

// Trigger is an event on another edge of the same proxy process, seen when the
// outcome of an exchange there is known.
type Trigger struct {
	Edge   string `json:"edge"` // between instances or between services: "orders-1 -> payments" is both
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`   // as in Match
	Status string `json:"status,omitempty"` // 503, or 5xx for all of them; a gRPC code such as UNAVAILABLE
	Error  string `json:"error,omitempty"`  // as in the wire log: refused, reset, timeout, caller-left, upstream-closed
	Count  uint64 `json:"count,omitempty"`  // how many such events it takes; 0: one
}

// StageStatus is what a proxy knows of a stage.
type StageStatus struct {
	ID      string    `json:"id"`
	Proxy   string    `json:"proxy"`
	Stage   Stage     `json:"stage"`
	Receipt Receipt   `json:"receipt"`
	Applied int       `json:"applied"` // live connections that run it
	Pending int       `json:"pending"` // live connections that do not yet
	Expires time.Time `json:"expires,omitzero"`
	Delay   *Delays   `json:"delay,omitempty"` // nil: nothing was delayed
}
