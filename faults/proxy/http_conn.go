package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"squall/faults"
)

// httpBuffer is of each reader and writer of a connection; idle ones are many.
const httpBuffer = 2 << 10

// httpConn pumps HTTP/1.1: serve forwards requests, relay (http_reply.go)
// brings replies back. Both forward the bytes they got.
type httpConn struct {
	*conn
	in     *bufio.Reader // from the caller
	out    *bufio.Writer // to the upstream; nil until dialled
	head   []byte
	due    *due
	failed atomic.Bool   // an exchange was logged as failed
	ended  chan struct{} // closed when relay is over; nil until dialled
}

func newHTTPConn(c *conn) *httpConn {
	h := &httpConn{conn: c, due: &due{}}
	h.in = bufio.NewReaderSize(&flushFirst{&c.up, h.flush}, httpBuffer)
	return h
}

func (h *httpConn) flush() error {
	if h.out == nil {
		return nil
	}
	return h.out.Flush()
}

// serve pumps until the connection ends.
func (h *httpConn) serve(ctx context.Context) {
	for h.request(ctx) {
	}
	if h.ended == nil {
		h.finish()
	} else {
		h.watchHalf()
		<-h.ended
	}
	h.mu.Lock()
	struck := h.cause != nil && h.cause.fault != ""
	h.mu.Unlock()
	if struck && !h.failed.Load() || h.due.isRaw() {
		word := ""
		if struck {
			word = errWordReset
		}
		h.log(word)
	}
}

// request handles one request. It is false when no other will follow.
func (h *httpConn) request(ctx context.Context) bool {
	if _, err := h.in.Peek(1); err != nil {
		return h.callerGone(err)
	}
	start := time.Now()
	var err error
	h.head, err = readHead(h.in, h.head[:0], isRequestLine)
	if err != nil && !errors.Is(err, errNotHTTP) {
		return h.callerGone(err)
	}
	var req request
	if err == nil {
		req, err = parseRequest(h.head)
	}
	if err != nil || h.due.isRaw() {
		return h.passThrough(ctx, h.head)
	}
	ex := h.newExchange(req, start)
	if h.pass() != nil {
		ex.finish(errWordTimeout)
		return false
	}
	d := decide(h.link.current().rules, h.call(req))
	if !h.delay(ex, d.delays) {
		return false
	}
	if d.act.stage == nil {
		return h.forward(ctx, ex, req)
	}
	ex.act = d.act
	switch d.act.HTTP.Action {
	case faults.HTTPStatus, faults.HTTPRateLimit:
		return h.answer(ex, req, d.act)
	case faults.HTTPAbort:
		h.abort(ex)
		return false
	}
	return h.forward(ctx, ex, req)
}

// drain waits, for as long as a switch may take, until the caller has what was
// written to it: a reset takes back what it has not.
func (h *httpConn) drain() {
	for end := time.Now().Add(h.link.opts.SwitchTimeout); unacked(h.caller) > 0 && time.Now().Before(end); {
		if !h.wait(nil, time.Millisecond) {
			return
		}
	}
}

// abort ends the connection after the replies that are due.
func (h *httpConn) abort(ex *exchange) {
	h.settle()
	ex.in.Store(int64(len(h.head)))
	ex.struck()
	word := ex.act.ending()
	ex.tell(0, word)
	h.drain()
	h.strikeAs(ex.act.stage, word)
	ex.finish(word)
}

// call is what rules choose the request by. Its head is still in h.head.
func (h *httpConn) call(r request) call {
	return call{r.method, r.path, r.op, r.key, func(name string) (values []string) {
		_, fields := cutLine(h.head)
		eachField(fields, func(n, value []byte) error {
			if is(n, name) {
				values = append(values, string(value))
			}
			return nil
		})
		return values
	}}
}

// delay waits as the rules say. A rule that is removed lets its requests go.
func (h *httpConn) delay(ex *exchange, rules []ruling) bool {
	for _, r := range rules {
		d := r.delay()
		r.hit(1)
		ex.note(r, "delay "+d.String())
		if !h.wait(r.removed, d) {
			h.end(&cause{errWordCallerLeft, ""}, false)
			ex.finish(errWordCallerLeft)
			return false
		}
	}
	return true
}

// answer replies in the upstream's place, after the replies that are due.
func (h *httpConn) answer(ex *exchange, req request, r ruling) bool {
	ex.in.Store(int64(len(h.head)))
	// A caller that waits for 100-continue may send its body or not: unframeable.
	closes := req.closes || req.expectsContinue
	if !req.expectsContinue {
		if err := copyBody(counted{io.Discard, &ex.in}, h.in, req.framing); err != nil {
			h.callerGone(err)
			ex.finish(errWordCallerLeft)
			return false
		}
	}
	h.settle()
	r.hit(1)
	ex.struck()
	ex.tell(r.HTTP.Status, "")
	n, err := h.toCaller().Write(r.reply(req.method == "HEAD", closes))
	ex.Out = int64(n)
	if err != nil {
		h.finish()
		ex.finish(errWordCallerLeft)
		return false
	}
	ex.Status = r.HTTP.Status
	ex.finish("")
	if closes {
		h.finish()
	}
	return !closes
}

// connect dials the upstream and starts bringing replies back.
func (h *httpConn) connect(ctx context.Context) error {
	if h.out != nil {
		return nil
	}
	if err := h.dial(ctx); err != nil {
		return err
	}
	h.out = bufio.NewWriterSize(h.toUpstream(), httpBuffer)
	h.ended = make(chan struct{})
	h.lanes.Go(h.replies)
	return nil
}

// forward sends the request on as it came.
func (h *httpConn) forward(ctx context.Context, ex *exchange, req request) bool {
	if err := h.connect(ctx); err != nil {
		h.reset()
		ex.finish(dialWord(err))
		return false
	}
	if !h.push(ex) {
		ex.finish(errWordUpstream)
		return false
	}
	w := io.Writer(counted{h.out, &ex.in})
	copied := ex.recorder(req)
	if copied != nil {
		w = io.MultiWriter(w, copied)
	}
	_, err := w.Write(h.head)
	if err == nil {
		body := ex.requestBody(w)
		err = copyFramed(w, body.payload, h.in, req.framing)
		body.settle(ex)
	}
	if errors.Is(err, errNotHTTP) { // in the middle of a body; its start is on its way
		h.setRaw()
		return h.passOn()
	}
	if err == nil {
		again := copied != nil && h.writeAgain(ex, copied)
		// Marked first: the reply may be back before Flush returns.
		ex.sent.Store(true)
		if err = h.flush(); err != nil {
			ex.sent.Store(false)
			return false // relay sees how the upstream ended
		}
		if again {
			ex.act.hit(1)
		}
		if req.upgrade && !h.settle() {
			return h.passOn()
		}
		return true
	}
	var broken *writeError
	if errors.As(err, &broken) {
		return false
	}
	return h.callerGone(err)
}

// writeAgain writes a copy of a request behind it, if it could be kept.
func (h *httpConn) writeAgain(ex *exchange, copied *recorder) bool {
	if copied.over || !h.push(&exchange{h: h, copy: true, Exchange: Exchange{Method: ex.Method}}) {
		return false
	}
	ex.struck()
	_, err := h.out.Write(copied.Bytes()) // an error stays in the writer
	return err == nil
}

// passThrough turns the connection into plain TCP from head on.
func (h *httpConn) passThrough(ctx context.Context, head []byte) bool {
	h.settle()
	h.setRaw()
	if err := h.connect(ctx); err != nil {
		h.reset()
		return false
	}
	h.out.Write(head) // an error stays in the writer
	return h.passOn()
}

func (h *httpConn) passOn() bool {
	if h.flush() == nil {
		h.lane(h.in, &h.up, h.toUpstream(), errWordCallerLeft, errWordUpstream)
	}
	return false
}

// callerGone ends the connection after the caller's side of it has ended.
func (h *httpConn) callerGone(err error) bool {
	switch {
	case errors.Is(err, errCut), errors.Is(err, errReset):
		h.end(&cause{errWordReset, h.toxicFault()}, errors.Is(err, errReset))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		h.end(&cause{errWordCallerLeft, ""}, false)
	default:
		h.end(&cause{errWordCallerLeft, ""}, true)
	}
	return false
}
