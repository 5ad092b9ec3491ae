package proxy

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"squall/faults"
)

// grpcCall is one call on its way to its line in the wire log.
type grpcCall struct {
	Exchange
	g     *grpcConn
	reply *http.Response // nil: none came from the upstream

	in, out atomic.Int64 // bytes of messages
	sent    atomic.Bool  // the upstream got the whole request
}

type grpcCallKey struct{}

// ServeHTTP serves one call.
func (g *grpcConn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls.Add(1)
	defer g.calls.Done()
	start := time.Now()
	ex := &grpcCall{g: g, Exchange: Exchange{
		At: start.UnixNano(), Edge: g.link.edge, Conn: g.id, N: g.link.requests.Add(1),
		Method: r.Method, Path: r.URL.Path,
		Op: r.Header.Get("X-Request-Id"), Key: r.Header.Get("Idempotency-Key"), Trace: traceID(r.Header.Get("Traceparent")),
	}}
	defer func() {
		failure := recover()
		ex.finish(r.Context(), start, failure != nil)
		if failure != nil {
			panic(failure)
		}
	}()
	d := decide(g.link.current().rules, call{ex.Method, ex.Path, ex.Op, ex.Key, r.Header.Values})
	for _, rule := range d.delays {
		if !ex.wait(r.Context(), rule) {
			panic(http.ErrAbortHandler)
		}
	}
	if d.act.stage != nil {
		ex.answer(w, d.act)
		return
	}
	r.Body = &countedBody{r.Body, ex}
	g.proxy.ServeHTTP(&countedReply{w, &ex.out}, r.WithContext(context.WithValue(r.Context(), grpcCallKey{}, ex)))
}

// wait waits as a rule says, and is false when the call has ended meanwhile.
func (ex *grpcCall) wait(ctx context.Context, r ruling) bool {
	d := r.delay()
	r.hit(1)
	ex.note(r, "delay "+d.String())
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.removed:
	case <-ctx.Done():
		return false
	}
	return true
}

// answer ends the call in the upstream's place, with a head and nothing more.
func (ex *grpcCall) answer(w http.ResponseWriter, r ruling) {
	r.hit(1)
	ex.note(r, r.HTTP.String())
	ex.Code = faults.GRPCCode(r.HTTP.GRPC.Code).String()
	ex.Status = http.StatusOK
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.FormatUint(uint64(r.HTTP.GRPC.Code), 10))
	if r.HTTP.GRPC.Message != "" {
		// Percent-encoded, as gRPC over HTTP/2 has it; that a query has + for a space is not.
		h.Set("Grpc-Message", strings.ReplaceAll(url.QueryEscape(r.HTTP.GRPC.Message), "+", "%20"))
	}
	w.WriteHeader(http.StatusOK)
}

func (ex *grpcCall) note(r ruling, what string) {
	ex.Fault = r.id
	ex.Acts = append(ex.Acts, Act{r.id, r.n, what})
}

// finish writes the call to the wire log.
func (ex *grpcCall) finish(ctx context.Context, start time.Time, failed bool) {
	word := ""
	switch {
	case !failed:
		ex.read()
	case ex.g.lost.Load():
		word = errWordUpstream
	case ctx.Err() != nil:
		word = errWordCallerLeft
	default:
		word = errWordReset // the stream alone, by the upstream
	}
	ex.Dur = int64(time.Since(start))
	ex.In, ex.Out, ex.Sent = ex.in.Load(), ex.out.Load(), ex.sent.Load()
	var fault string
	if ex.Error, fault = ex.g.why(word); ex.Fault == "" || word != "" && fault != "" {
		ex.Fault = fault
	}
	ex.Acts = append(ex.g.acts(), ex.Acts...)
	e := ex.Exchange
	ex.g.link.log(&e)
}

// read takes status and code from the upstream's reply, if there was one.
func (ex *grpcCall) read() {
	if ex.reply == nil {
		return
	}
	ex.Status = ex.reply.StatusCode
	code := ex.reply.Trailer.Get("Grpc-Status")
	if code == "" {
		code = ex.reply.Header.Get("Grpc-Status")
	}
	if n, err := strconv.ParseUint(code, 10, 32); err == nil {
		ex.Code = faults.GRPCCode(n).String()
	}
}

// countedBody counts what is read of a request, to its end.
type countedBody struct {
	io.ReadCloser
	ex *grpcCall
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ex.in.Add(int64(n))
	if err == io.EOF {
		b.ex.sent.Store(true)
	}
	return n, err
}

// countedReply counts what is written of a reply.
type countedReply struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (r *countedReply) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.n.Add(int64(n))
	return n, err
}

// Unwrap lets replies be flushed.
func (r *countedReply) Unwrap() http.ResponseWriter { return r.ResponseWriter }
