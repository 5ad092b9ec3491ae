package proxy

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxPipelined bounds the requests of one connection that wait for replies.
const maxPipelined = 64

// exchange is one request on its way to its line in the wire log.
type exchange struct {
	Exchange
	h     *httpConn
	start time.Time
	lose  *stage // drops the reply

	in   atomic.Int64
	sent atomic.Bool
}

func (h *httpConn) newExchange(r request, start time.Time) *exchange {
	return &exchange{h: h, start: start, Exchange: Exchange{
		At: start.UnixNano(), Edge: h.link.edge, Conn: h.id, N: h.link.requests.Add(1),
		Method: r.method, Path: r.path, Op: r.op, Key: r.key, Trace: r.trace,
	}}
}

// finish writes the exchange to the wire log; word is empty for success.
func (ex *exchange) finish(word string) {
	e := ex.Exchange
	e.Dur = int64(time.Since(ex.start))
	e.In, e.Sent = ex.in.Load(), ex.sent.Load()
	var fault string
	if e.Error, fault = ex.h.why(word); e.Fault == "" || word != "" && fault != "" {
		e.Fault = fault
	}
	if word != "" {
		ex.h.failed.Store(true)
	}
	ex.h.link.wire.publish(&e)
}

// due holds the exchanges whose replies are due, in order.
type due struct {
	mu    sync.Mutex
	moved sync.Cond
	queue []*exchange
	over  bool // no reply will come any more
	raw   bool // what comes now is not HTTP
}

func newDue() *due {
	d := &due{}
	d.moved.L = &d.mu
	return d
}

// push is false when no reply will come.
func (d *due) push(ex *exchange) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) >= maxPipelined && !d.over {
		d.moved.Wait()
	}
	if !d.over {
		d.queue = append(d.queue, ex)
	}
	return !d.over
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
func (d *due) pop(raw bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = d.queue[:copy(d.queue, d.queue[1:])]
	d.raw = d.raw || raw
	d.moved.Broadcast()
}

// settle waits until no reply is due and tells whether HTTP goes on.
func (d *due) settle() (http bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 && !d.over {
		d.moved.Wait()
	}
	return !d.raw
}

func (d *due) setRaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw = true
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
	d.moved.Broadcast()
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
