package proxy

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"squall/faults"
)

// maxPipelined bounds the requests of one connection that wait for replies.
const maxPipelined = 64

// exchange is one request on its way to its line in the wire log.
type exchange struct {
	Exchange
	h     *httpConn
	start time.Time
	act   ruling // what is to become of it; no stage: nothing
	copy  bool   // of a request: its reply is dropped, and it has no line
	told  bool   // triggers know how it came out

	in   atomic.Int64
	sent atomic.Bool

	mu    sync.Mutex // guards what follows, and Fault and Acts: both directions may be at it
	acted bool       // act has been carried out
}

func (h *httpConn) newExchange(r request, start time.Time) *exchange {
	return &exchange{h: h, start: start, Exchange: Exchange{
		At: start.UnixNano(), Edge: h.link.edge, Conn: h.id, N: h.link.requests.Add(1),
		Method: r.method, Path: r.path, Op: r.op, Key: r.key, Trace: r.trace,
	}}
}

// will tells whether that is to become of the request.
func (ex *exchange) will(action faults.HTTPAction) bool {
	return ex.act.stage != nil && ex.act.HTTP.Action == action
}

// struck enters that act has been carried out.
func (ex *exchange) struck() { ex.note(ex.act, ex.act.HTTP.String()) }

func (ex *exchange) note(r ruling, what string) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.acted = ex.acted || r == ex.act
	ex.Fault = r.id
	ex.Acts = append(ex.Acts, Act{r.id, r.n, what})
}

// tell lets triggers know how the exchange came out, before its caller does: what
// the caller does next then finds them fired.
func (ex *exchange) tell(status int, word string) {
	if ex.told || ex.copy {
		return
	}
	ex.told = true
	ex.h.link.tallies.notice(event{ex.h.link, ex.Method, ex.Path, status, "", word})
}

// finish writes the exchange to the wire log; word is empty for success.
func (ex *exchange) finish(word string) {
	if ex.copy {
		return
	}
	ex.mu.Lock()
	e := ex.Exchange
	if ex.act.stage != nil && !ex.acted { // nothing to cut, to change, to copy or to lose
		ex.act.spare()
	}
	ex.mu.Unlock()
	e.Dur = int64(time.Since(ex.start))
	e.In, e.Sent = ex.in.Load(), ex.sent.Load()
	var fault string
	if e.Error, fault = ex.h.why(word); e.Fault == "" || word != "" && fault != "" {
		e.Fault = fault
	}
	e.Acts = append(ex.h.acts(), e.Acts...)
	if word != "" {
		ex.h.failed.Store(true)
	}
	ex.tell(e.Status, e.Error)
	ex.h.link.wire.publish(&e)
}

// body is where the body of a message goes.
type body struct {
	payload payload
	flip    *flipper // nil: it stays as it is
}

// settle counts a body that has been changed.
func (b body) settle(ex *exchange) {
	if b.flip != nil && b.flip.done {
		ex.act.hit(1)
		ex.struck()
	}
}

func (ex *exchange) requestBody(w io.Writer) body {
	if ex.will(faults.HTTPCorrupt) && ex.act.HTTP.Up {
		f := &flipper{w: w, r: ex.act}
		return body{f.open, f}
	}
	return body{payload: unchanged(w)}
}

func (ex *exchange) replyBody(w io.Writer) body {
	switch {
	case ex.will(faults.HTTPCorrupt) && !ex.act.HTTP.Up:
		f := &flipper{w: w, r: ex.act}
		return body{f.open, f}
	case ex.will(faults.HTTPTruncate):
		return body{payload: newCutter(w, ex.act.HTTP).open}
	}
	return body{payload: unchanged(w)}
}

// recorder keeps a request that is to be sent twice; nil: it is not, or cannot be.
func (ex *exchange) recorder(r request) *recorder {
	if !ex.will(faults.HTTPDuplicate) {
		return nil
	}
	limit := ex.act.HTTP.Bytes
	if r.upgrade || r.closes || r.framing.length > limit {
		return nil
	}
	return &recorder{max: limit + int64(len(ex.h.head))}
}

// due holds the exchanges whose replies are due, in order.
type due struct {
	mu    sync.Mutex
	moved chan struct{} // closed when one is over; nil: nobody waits for that
	queue []*exchange
	over  bool // no reply will come any more
	raw   bool // what comes now is not HTTP
}

// push is false when no reply will come.
func (h *httpConn) push(ex *exchange) bool {
	if !h.awaitDue(maxPipelined - 1) {
		return false
	}
	d := h.due
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		d.queue = append(d.queue, ex)
	}
	return !d.over
}

// settle waits until no reply is due and tells whether HTTP goes on.
func (h *httpConn) settle() (http bool) {
	h.awaitDue(0)
	return !h.due.isRaw()
}

// awaitDue waits until at most n replies are due. It is false when none will
// come, and when the caller has left meanwhile: then the connection has ended.
func (h *httpConn) awaitDue(n int) bool {
	d := h.due
	for {
		d.mu.Lock()
		waiting, over := len(d.queue) > n, d.over
		if waiting && d.moved == nil {
			d.moved = make(chan struct{})
		}
		moved := d.moved
		d.mu.Unlock()
		switch {
		case over:
			return false
		case !waiting:
			return true
		case !h.wait(moved, 0):
			h.end(&cause{errWordCallerLeft, ""}, false)
			return false
		}
	}
}

// first is nil when what comes from the upstream belongs to no request.
func (d *due) first() *exchange {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raw || len(d.queue) == 0 {
		return nil
	}
	return d.queue[0]
}

// pop says that the first exchange is over, and whether HTTP is too.
func (h *httpConn) pop(raw bool) {
	if raw {
		h.setRaw()
	}
	d := h.due
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = d.queue[:copy(d.queue, d.queue[1:])]
	d.move()
}

// move wakes who waits. d.mu is held.
func (d *due) move() {
	if d.moved != nil {
		close(d.moved)
		d.moved = nil
	}
}

// setRaw says that what comes now is not HTTP, on which no rule can act.
func (h *httpConn) setRaw() {
	h.blind.Store(true)
	h.due.mu.Lock()
	defer h.due.mu.Unlock()
	h.due.raw = true
}

func (d *due) isRaw() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.raw
}

// close returns the exchanges that will have no reply.
func (d *due) close() []*exchange {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.move()
	rest := d.queue
	d.queue = nil
	return rest
}

// flushFirst flushes what was written before it blocks in a read, so that
// nothing waits in a buffer for bytes that depend on it.
type flushFirst struct {
	r     io.Reader
	flush func() error
}

func (f *flushFirst) Read(p []byte) (int, error) {
	if err := f.flush(); err != nil {
		return 0, &writeError{err}
	}
	return f.r.Read(p)
}

// counted counts what is written to w.
type counted struct {
	w io.Writer
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}
