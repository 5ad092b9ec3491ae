// Package record is the one record of a run: an append-only directory that
// every reader (verdict, terminal, HTML, JUnit, compare, judge) derives from.
// FORMAT.md describes the files byte by byte.
package record

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// FormatVersion is written in the header; a reader refuses any other.
const FormatVersion = 1

// Stream names one append-only file of the run directory, "<name>.ndjson".
type Stream string

// The streams of a run. Main carries sequence numbers; End in it carries the
// line count of every other stream, so a truncated stream is seen as a gap.
const (
	Main    Stream = "run"
	Metrics Stream = "metrics"
	Wire    Stream = "wire"
	Ops     Stream = "ops"
	Audit   Stream = "audit"
	Spans   Stream = "spans"
)

// bulk are all streams but the main one.
var bulk = []Stream{Metrics, Wire, Ops, Audit, Spans}

// Type says what an entry of the main stream holds.
type Type string

// Entry types of the main stream and the payload each carries.
const (
	TypeHeader  Type = "header"  // Header, always the first entry
	TypePhase   Type = "phase"   // Phase
	TypeFault   Type = "fault"   // Fault
	TypeProcess Type = "process" // Process
	TypeLoad    Type = "load"    // Load
	TypeProbe   Type = "probe"   // Probe
	TypeStep    Type = "step"    // Step
	TypeNote    Type = "note"    // Note
	TypeMark    Type = "mark"    // Mark
	TypeWatch   Type = "watch"   // Watch
	TypeEnd     Type = "end"     // End, always the last entry
)

// Entry is one line of the main stream.
type Entry struct {
	Seq  uint64          `json:"seq"`
	T    time.Duration   `json:"t"` // since run start, monotonic, nanoseconds
	Type Type            `json:"type"`
	Data json.RawMessage `json:"data"`
	Prev string          `json:"prev,omitempty"` // SHA-256 of the line before, in hexadecimal; of the first entry: absent
}

// Header opens a run.
type Header struct {
	Format     int               `json:"format"`
	Run        string            `json:"run"` // directory name, unique on this machine
	Scenario   string            `json:"scenario"`
	Title      string            `json:"title"`
	Hypothesis string            `json:"hypothesis"`
	File       string            `json:"file"`      // scenario as the user named it
	Input      string            `json:"input"`     // the same file below input/
	System     string            `json:"system"`    // the system file below input/
	PlanHash   string            `json:"plan_hash"` // SHA-256 of the canonical plan
	Seed       uint64            `json:"seed"`
	Started    time.Time         `json:"started"`            // zero of every T
	Switches   []string          `json:"switches,omitempty"` // of the system that were on
	Defects    []string          `json:"defects,omitempty"`
	Rerun      string            `json:"rerun"` // exact command that runs this again
	Versions   map[string]string `json:"versions,omitempty"`
}

// Phase marks the start or the end of a phase. Phases do not overlap.
type Phase struct {
	Name  string `json:"name"`  // warmup, baseline, fault, recovery, settle
	Event string `json:"event"` // start, end
}

// FaultState is a step of the fault life cycle, in this order.
type FaultState string

// The life cycle; Failed may follow any state before Gone.
const (
	FaultIntent   FaultState = "intent"   // undo is on disk
	FaultInjected FaultState = "injected" // inject returned
	FaultBiting   FaultState = "biting"   // a receipt was seen
	FaultReverted FaultState = "reverted" // revert returned
	FaultGone     FaultState = "gone"     // seen gone
	FaultFailed   FaultState = "failed"   // a step failed, Error says which
)

// Fault is one transition of one fault.
type Fault struct {
	ID      string     `json:"id"`
	Kind    string     `json:"kind"`
	On      string     `json:"on"`                // target as the scenario names it, "payments -> psp-primary" or "orders"
	Targets []string   `json:"targets,omitempty"` // what that is, where it is a group: "payments-1 -> psp-primary", "orders-2"
	State   FaultState `json:"state"`
	Detail  string     `json:"detail,omitempty"` // parameters in words
	Receipt *Receipt   `json:"receipt,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// Hits are the instances and the edges between instances that the fault acts on.
func (f Fault) Hits() []string {
	if len(f.Targets) > 0 {
		return f.Targets
	}
	return []string{f.On}
}

// Receipt is the evidence that a fault affected something.
type Receipt struct {
	Hits  uint64    `json:"hits"` // affected so far, counted in Unit
	Unit  string    `json:"unit"` // requests, connections, bytes, processes, messages
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Items []string  `json:"items,omitempty"` // identities where they are few, such as message ids
	Note  string    `json:"note,omitempty"`
}

// String is what was affected, in words: 3 requests, 1 process, nothing.
func (r Receipt) String() string {
	switch {
	case r.Unit == "":
		return "nothing"
	case r.Hits != 1:
		return fmt.Sprintf("%d %s", r.Hits, r.Unit)
	case r.Unit == "processes":
		return "1 process"
	}
	return "1 " + strings.TrimSuffix(r.Unit, "s")
}

// Process is something that happened to a process of the system.
type Process struct {
	Service string `json:"service"` // the instance: "payments-2"
	PID     int    `json:"pid,omitempty"`
	Event   string `json:"event"` // started, ready, exited, killed, paused, resumed, restarted, stopped
	Detail  string `json:"detail,omitempty"`
}

// Load says what the generator was asked for and how it ended.
type Load struct {
	Event   string  `json:"event"`             // started, flowing, stopped
	Script  string  `json:"script,omitempty"`  // as the scenario names it
	Arrival float64 `json:"arrival,omitempty"` // iterations per second asked for, before the first stage
	Stages  []Stage `json:"stages,omitempty"`  // changes of that
	Code    int     `json:"code,omitempty"`    // exit code when stopped
	Error   string  `json:"error,omitempty"`
}

// Stage is a change of the arrival rate.
type Stage struct {
	At      time.Duration `json:"at"`      // after the first iteration
	Arrival float64       `json:"arrival"` // iterations per second from then on
}

// Probe is one look at the system from outside the load. Its entry is written
// when the answer is there.
type Probe struct {
	Name   string            `json:"name"`             // the assertion that wants it, or "books SOURCE"
	On     string            `json:"on,omitempty"`     // instance or edge that was asked
	OK     bool              `json:"ok"`               // there was an answer, whatever it said
	Value  float64           `json:"value,omitempty"`  // rows of books, HTTP status, exit code, result of a query
	Took   int64             `json:"took,omitempty"`   // nanoseconds
	Header map[string]string `json:"header,omitempty"` // of an HTTP reply
	Text   string            `json:"text,omitempty"`   // body, output or result, its first 16 KiB
	Note   string            `json:"note,omitempty"`   // why there was none
}

// Step is something the scenario did to the system, such as a release.
type Step struct {
	ID    string    `json:"id"`
	Does  string    `json:"does"` // in words
	State StepState `json:"state"`
	Text  string    `json:"text,omitempty"`  // what came back
	Error string    `json:"error,omitempty"` // why it failed
}

// StepState is how far a step is.
type StepState string

// The states of a step.
const (
	StepBegun  StepState = "begun"
	StepDone   StepState = "done"
	StepFailed StepState = "failed"
)

// Note is a remark by the runner or a person.
type Note struct {
	Author string `json:"author,omitempty"`
	Level  string `json:"level,omitempty"` // info, warn, error
	Text   string `json:"text"`
}

// Mark is something a person did or decided on a game day, or that was seen
// there: what is more than a note.
type Mark struct {
	What   string `json:"what"`             // such as go, detected, acknowledged, mitigated, did, abort, signal
	Author string `json:"author,omitempty"` // who; empty: squall
	Step   string `json:"step,omitempty"`   // of the day, that it belongs to
	On     string `json:"on,omitempty"`     // such as a playbook or a signal
	N      int    `json:"n,omitempty"`      // which step of a playbook, from 1
	Text   string `json:"text,omitempty"`
}

// Watch is how a guardrail or a signal of a game day stood at an instant.
type Watch struct {
	ID       string `json:"id"`
	Group    string `json:"group"`    // guardrail or signal
	State    string `json:"state"`    // kept, crossed, or unclear where there is no data
	Bound    string `json:"bound"`    // what is kept, "at least 20%"
	Measured string `json:"measured"` // "99.7%", or why it is unclear
}

// How a run ended.
const (
	EndDone        = "done"
	EndAborted     = "aborted"     // by a guardrail
	EndInterrupted = "interrupted" // by a person or a signal
	EndError       = "error"       // injection or infrastructure
	EndNotSteady   = "not-steady"  // steady state not met, no fault was injected
	EndSkipped     = "skipped"     // something that the system needs is not on this machine, nothing was started
)

// End closes a run.
type End struct {
	Reason  string            `json:"reason"`
	Error   string            `json:"error,omitempty"`
	Dirty   []string          `json:"dirty,omitempty"`   // what could not be restored, one per line
	Streams map[Stream]Totals `json:"streams,omitempty"` // what the other streams must hold
}

// Totals of a stream: lines written, and lines that had to be given up.
type Totals struct {
	Lines   uint64 `json:"lines"`
	Dropped uint64 `json:"dropped,omitempty"`
	Sum     string `json:"sum,omitempty"` // SHA-256 of the whole stream, in hexadecimal
}

// Exchange is one request seen by the proxy of an HTTP edge, or one connection
// of a TCP edge (Method empty). The proxy writes it when it has ended.
type Exchange struct {
	At     int64  `json:"at"`   // first byte, Unix nanoseconds
	Dur    int64  `json:"dur"`  // nanoseconds until the last byte or the failure
	Edge   string `json:"edge"` // between instances: "orders-1 -> payments-2"
	Conn   uint64 `json:"conn"` // connection number on that edge
	N      uint64 `json:"n"`    // request number on that edge
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Status int    `json:"status,omitempty"` // as the caller saw it; 0: no reply
	Code   string `json:"code,omitempty"`   // of a gRPC call, such as UNAVAILABLE
	Op     string `json:"op,omitempty"`     // X-Request-Id: one value for all that one operation causes
	Key    string `json:"key,omitempty"`    // Idempotency-Key
	Trace  string `json:"trace,omitempty"`  // trace id of traceparent
	Sent   bool   `json:"sent"`             // the upstream got the whole request
	In     int64  `json:"in,omitempty"`     // bytes from the caller
	Out    int64  `json:"out,omitempty"`    // bytes to the caller
	Fault  string `json:"fault,omitempty"`  // the fault that affected it
	Error  string `json:"error,omitempty"`  // refused, reset, timeout, caller-left, upstream-closed
	Acts   []Act  `json:"acts,omitempty"`   // every decision of a fault that hit it or its connection
}

// Act is one decision of a fault to act on a request or a connection. Two runs
// of equal seed that see the same requests in the same order decide the same.
type Act struct {
	Stage string `json:"stage"` // the fault's id
	N     uint64 `json:"n"`     // which of the requests or connections that match it was, from 1, over all links
	What  string `json:"what"`  // such as "status 503", "delay 103ms"
}

// TraceSpan is one span of a distributed trace, as a service exported it.
type TraceSpan struct {
	At       int64             `json:"at"`  // start, Unix nanoseconds
	Dur      int64             `json:"dur"` // nanoseconds
	Trace    string            `json:"trace"`
	ID       string            `json:"id"`
	Parent   string            `json:"parent,omitempty"`
	Service  string            `json:"service,omitempty"`
	Instance string            `json:"instance,omitempty"`
	Name     string            `json:"name"`
	Kind     string            `json:"kind,omitempty"` // server, client, producer, consumer, internal
	Error    bool              `json:"error,omitempty"`
	Attrs    map[string]string `json:"attrs,omitempty"`
	Events   []TraceEvent      `json:"events,omitempty"`
}

// TraceEvent is something that happened during a span, such as a retry.
type TraceEvent struct {
	Name  string            `json:"name"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Outcome of an operation. Unknown is not failed: its reply was lost.
type Outcome string

// The three outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// Operation is one business operation as the load generator saw it.
type Operation struct {
	At      int64   `json:"at"` // start, Unix nanoseconds
	Dur     int64   `json:"dur"`
	Name    string  `json:"name"`
	ID      string  `json:"id"`
	First   bool    `json:"first,omitempty"` // of its iteration
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`
}

// AuditRow is one row of a service's own books, collected after the run.
type AuditRow struct {
	Source string            `json:"source"`           // ledger source of the system file
	Key    string            `json:"key"`              // operation id
	ID     string            `json:"id,omitempty"`     // row identity
	Effect int               `json:"effect,omitempty"` // +1 done, -1 undone, 0 neither
	State  string            `json:"state,omitempty"`  // for sources that hold states: pending or a final state
	Attrs  map[string]string `json:"attrs,omitempty"`
	At     int64             `json:"at,omitempty"` // Unix nanoseconds
}

// Scrape is one look at one metrics source. Values are written only when they
// changed since that source's last scrape; a series that is neither changed
// nor gone has its old value again at At.
type Scrape struct {
	At     int64       `json:"at"`            // Unix nanoseconds
	Source string      `json:"source"`        // instance, or "k6"
	Job    string      `json:"job,omitempty"` // the service it is an instance of; absent: the source itself
	Up     bool        `json:"up"`
	Took   int64       `json:"took,omitempty"` // nanoseconds
	Error  string      `json:"error,omitempty"`
	New    []Series    `json:"new,omitempty"`
	Gone   []uint32    `json:"gone,omitempty"`
	V      []Value     `json:"v,omitempty"`
	H      []HistValue `json:"h,omitempty"`
}

// Series introduces a series by a number that is unique in the run.
type Series struct {
	ID     uint32            `json:"id"`
	Labels map[string]string `json:"l"`              // with __name__, job, instance and, of services, service
	Type   string            `json:"type,omitempty"` // counter, gauge, histogram, unknown
}

// Value is the new float value of a series.
type Value struct {
	ID uint32 `json:"id"`
	V  Float  `json:"v"`
}

// HistValue is the new value of a native histogram series (integer counts,
// Prometheus exponential buckets).
type HistValue struct {
	ID     uint32   `json:"id"`
	Schema int32    `json:"schema"`
	ZeroT  float64  `json:"zt,omitempty"`
	Zero   uint64   `json:"z,omitempty"`
	Count  uint64   `json:"n"`
	Sum    Float    `json:"sum"`
	Pos    []Bucket `json:"pos,omitempty"` // ascending index, absolute counts
	Neg    []Bucket `json:"neg,omitempty"`
}

// Bucket is [index, count].
type Bucket [2]int64
