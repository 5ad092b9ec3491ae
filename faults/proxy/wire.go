package proxy

import (
	"sync"
	"sync/atomic"
)

// wireQueue bounds what waits for one reader of the wire log.
const wireQueue = 65536

// Exchange is one line of the wire log: one request of an HTTP edge, or one
// connection of any other (Method empty). The run record keeps it as it is.
type Exchange struct {
	At     int64  `json:"at"`   // first byte, Unix nanoseconds
	Dur    int64  `json:"dur"`  // nanoseconds until the last byte or the failure
	Edge   string `json:"edge"` // "orders -> payments"
	Conn   uint64 `json:"conn"` // connection number on that edge
	N      uint64 `json:"n"`    // number of the exchange on that edge
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	Status int    `json:"status,omitempty"` // as the caller saw it; 0: no reply
	Code   string `json:"code,omitempty"`   // of a gRPC call, such as UNAVAILABLE
	Op     string `json:"op,omitempty"`     // X-Request-Id
	Key    string `json:"key,omitempty"`    // Idempotency-Key
	Trace  string `json:"trace,omitempty"`  // trace id of traceparent
	Sent   bool   `json:"sent"`             // the upstream got the whole request
	In     int64  `json:"in,omitempty"`     // bytes from the caller
	Out    int64  `json:"out,omitempty"`    // bytes to the caller
	Fault  string `json:"fault,omitempty"`  // id of the stage that affected it
	Error  string `json:"error,omitempty"`  // refused, reset, timeout, caller-left, upstream-closed
	Acts   []Act  `json:"acts,omitempty"`   // every decision that hit it or its connection
}

// wireHub hands every exchange to every reader of the wire log.
type wireHub struct {
	mu      sync.Mutex
	readers map[*wireReader]struct{}
	closed  bool
	dropped atomic.Uint64
}

// wireReader is one reader's queue. It is closed with the hub.
type wireReader struct {
	lines   chan *Exchange
	dropped atomic.Uint64 // not yet told to the reader
}

func newWireHub() *wireHub { return &wireHub{readers: map[*wireReader]struct{}{}} }

func (h *wireHub) subscribe() *wireReader {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &wireReader{lines: make(chan *Exchange, wireQueue)}
	if h.closed {
		close(r.lines)
		return r
	}
	h.readers[r] = struct{}{}
	return r
}

func (h *wireHub) unsubscribe(r *wireReader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

// publish never blocks: a reader that is too slow loses lines and is told.
func (h *wireHub) publish(e *Exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		select {
		case r.lines <- e:
		default:
			r.dropped.Add(1)
			h.dropped.Add(1)
		}
	}
}

// close ends all readers after what is queued.
func (h *wireHub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for r := range h.readers {
		close(r.lines)
	}
	clear(h.readers)
}
