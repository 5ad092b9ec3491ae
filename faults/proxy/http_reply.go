package proxy

import (
	"bufio"
	"errors"
	"io"
	"sync/atomic"

	"squall/faults"
)

// errPlain says that what follows from the upstream is not HTTP.
var errPlain = errors.New("not HTTP from here on")

// replies runs relay and ends the connection as the upstream ended it.
func (h *httpConn) replies() {
	defer close(h.ended)
	err := h.relay()
	h.holdEnd()
	word := errWordUpstream
	var broken *writeError
	switch {
	case errors.As(err, &broken):
		word = errWordCallerLeft
		h.end(&cause{word, ""}, true)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		h.end(&cause{word, ""}, false)
	case errors.Is(err, errCut), errors.Is(err, errReset):
		word = errWordReset
		h.end(&cause{word, h.toxicFault()}, errors.Is(err, errReset))
	case err != nil:
		h.end(&cause{word, ""}, true)
	}
	for _, ex := range h.due.close() {
		ex.finish(word)
	}
}

// relay brings replies back until the upstream ends or HTTP does.
func (h *httpConn) relay() error {
	out := bufio.NewWriterSize(h.toCaller(), httpBuffer)
	r := bufio.NewReaderSize(&flushFirst{&h.down, out.Flush}, httpBuffer)
	var head []byte
	for {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		ex := h.due.first()
		err := errPlain
		if ex != nil {
			head, err = h.reply(ex, r, out, head[:0])
		}
		if errors.Is(err, errPlain) {
			h.setRaw()
			return h.relayPlain(r, out)
		}
		if err != nil {
			out.Flush() // what came before the end is the caller's
			return err
		}
	}
}

// relayPlain passes the rest on as it is. lane ends the connection on failure.
func (h *httpConn) relayPlain(r *bufio.Reader, out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return &writeError{err}
	}
	h.lane(r, &h.down, h.toCaller(), errWordUpstream, errWordCallerLeft)
	return nil
}

// reply brings back the reply to ex, with the interim ones before it.
func (h *httpConn) reply(ex *exchange, r *bufio.Reader, out *bufio.Writer, head []byte) ([]byte, error) {
	var bytes atomic.Int64
	w := io.Writer(counted{out, &bytes})
	if ex.copy {
		w = io.Discard
	}
	head, resp, err := h.replyHead(ex, r, w, head)
	if err != nil && !errors.Is(err, errNotHTTP) {
		if !ex.will(faults.HTTPLoseReply) {
			w.Write(head) // an error stays in the writer
		}
		return head, err
	}
	if ex.will(faults.HTTPLoseReply) {
		w = io.Discard
		ex.tell(0, errWordReset)
	} else {
		ex.Status = resp.status
		ex.tell(resp.status, "")
	}
	if _, werr := w.Write(head); werr != nil {
		return head, &writeError{werr}
	}
	ends := err != nil || resp.status == 101 || ex.Method == "CONNECT" && resp.status/100 == 2
	if !ends {
		body := ex.replyBody(w)
		err = copyFramed(w, body.payload, r, resp.framing)
		body.settle(ex)
		switch {
		case errors.Is(err, errCutShort):
			out.Flush()
			ex.Out = bytes.Load()
			return head, h.endAs(ex)
		case errors.Is(err, errNotHTTP):
			ends = true
		case err != nil:
			ex.Out = bytes.Load()
			return head, err
		}
	}
	if ex.will(faults.HTTPLoseReply) {
		return head, h.endAs(ex)
	}
	if err := out.Flush(); err != nil {
		return head, &writeError{err}
	}
	ex.Out = bytes.Load()
	ex.finish("")
	h.pop(ends)
	if ends {
		return head, errPlain
	}
	return head, nil
}

// endAs ends the connection as the rule wants and counts that; relay's end logs it.
func (h *httpConn) endAs(ex *exchange) error {
	ex.struck()
	h.drain()
	h.strikeAs(ex.act.stage, ex.act.ending())
	return errEnded
}

// replyHead reads the final head of a reply; interim heads go on to w at once.
func (h *httpConn) replyHead(ex *exchange, r *bufio.Reader, w io.Writer, head []byte) ([]byte, response, error) {
	for {
		var resp response
		var err error
		head, err = readHead(r, head[:0], isStatusLine)
		if err != nil {
			return head, resp, unexpected(err)
		}
		resp, err = parseResponse(head, ex.Method)
		if err != nil || resp.status >= 200 || resp.status == 101 {
			return head, resp, err
		}
		if _, err := w.Write(head); err != nil {
			return head, resp, &writeError{err}
		}
	}
}
