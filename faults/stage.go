package faults

import (
	"encoding/json"
	"time"
)

// Stage is what a link proxy does to an edge on behalf of one fault. It is
// data: kinds build it, the proxy runs it, and no kind is known to the proxy.
// Exactly one of Toxics, Mode, Reset and HTTP is set.
type Stage struct {
	// Toxics are Toxiproxy toxics, run in order on every connection.
	Toxics []Toxic `json:"toxics,omitempty"`
	// Mode changes how connections are made.
	Mode LinkMode `json:"mode,omitempty"`
	// Reset sends RST on all live connections, idle ones too, once per PutStage,
	// and on every new connection while the stage stands.
	Reset bool `json:"reset,omitempty"`
	// HTTP acts on chosen requests of an HTTP edge.
	HTTP *HTTPRule `json:"http,omitempty"`

	Seed  uint64        `json:"seed,omitempty"`
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

// Toxic is one Toxiproxy toxic (Toxiproxy's own JSON form, its units).
type Toxic struct {
	Name       string          `json:"name,omitempty"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream,omitempty"` // upstream, downstream (default)
	Toxicity   float32         `json:"toxicity"`         // drawn per connection, from the stage's seed
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

// HTTPRule chooses requests and says what becomes of them.
type HTTPRule struct {
	Match  Match             `json:"match,omitzero"`
	Action HTTPAction        `json:"action"`
	Status int               `json:"status,omitempty"` // for HTTPStatus
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	Delay  time.Duration     `json:"delay,omitempty"` // nanoseconds, for HTTPDelay
}

// HTTPAction is what becomes of a chosen request.
type HTTPAction string

// The HTTP actions.
const (
	HTTPStatus    HTTPAction = "status"     // answered by the proxy, never forwarded
	HTTPDelay     HTTPAction = "delay"      // forwarded after Delay
	HTTPAbort     HTTPAction = "abort"      // RST to the caller, never forwarded
	HTTPLoseReply HTTPAction = "lose-reply" // forwarded and executed; the reply is dropped and the caller reset
)

// Match limits an HTTP fault to some requests. All that is set must hold.
// Indexes count the requests that match method and path, from 1, per stage.
type Match struct {
	Method      string  `json:"method,omitempty"`      // exact, upper case
	Path        string  `json:"path,omitempty"`        // path.Match pattern; a trailing /** matches any rest
	First       uint64  `json:"first,omitempty"`       // only the first n
	Every       uint64  `json:"every,omitempty"`       // only every nth: n, 2n, ...
	Probability float64 `json:"probability,omitempty"` // per request, 0..1; 0: not limited. Drawn from seed and index
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
}
