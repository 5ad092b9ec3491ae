package proxy

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// http2Preface is what a caller with prior knowledge of HTTP/2 says first.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// grpcStreams is how many calls of a connection may be under way; what the
// upstream allows may be less.
const grpcStreams = 1 << 16

// grpcConn speaks HTTP/2 with both sides of a connection, so that it sees
// single calls. Each caller's connection has one to the upstream, and they end
// together. Toxics and modes act on the bytes of both as on any other link.
type grpcConn struct {
	*conn
	calls  sync.WaitGroup
	lost   atomic.Bool // the upstream's connection has ended
	dialed atomic.Bool
	proxy  *httputil.ReverseProxy
}

// serveGRPC serves calls until the connection ends; it is the wire log's word
// for a connection that was none of gRPC, and logged tells whether it is to have
// a line of its own.
func (c *conn) serveGRPC(ctx context.Context) (word string, logged bool) {
	in := bufio.NewReader(&c.up)
	if !startsWith(in, http2Preface) {
		return c.tunnel(ctx, in), true
	}
	if err := c.dial(ctx); err != nil {
		c.reset()
		return dialWord(err), true
	}
	g := &grpcConn{conn: c}
	transport := &http.Transport{
		Protocols: onlyHTTP2(), DialContext: g.dialOnce, DisableCompression: true, MaxResponseHeaderBytes: 16 << 20,
	}
	defer transport.CloseIdleConnections()
	g.proxy = &httputil.ReverseProxy{
		Transport: transport, ErrorHandler: g.failed, ModifyResponse: answered,
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "upstream"})
			r.Out.Host = r.In.Host
		},
	}
	g.listen(in)
	g.calls.Wait()
	return "", false
}

// startsWith tells whether that is what comes; it reads no further than it must.
func startsWith(r *bufio.Reader, text string) bool {
	for n := range len(text) {
		got, err := r.Peek(n + 1)
		if err != nil || got[n] != text[n] {
			return false
		}
	}
	return true
}

func onlyHTTP2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// listen serves the one connection and returns when it is closed.
func (g *grpcConn) listen(in io.Reader) {
	one := &oneConn{conn: &grpcSide{g.conn, in, g.toCaller()}, closed: make(chan struct{})}
	server := &http.Server{
		Handler: g, Protocols: onlyHTTP2(), ErrorLog: log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: grpcStreams},
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				one.Close()
			}
		},
	}
	server.Serve(one) // ends with net.ErrClosed, as one says
	server.Close()
}

// dialOnce hands out the upstream's connection. When the upstream wants another
// for further calls, the caller must come again too.
func (g *grpcConn) dialOnce(context.Context, string, string) (net.Conn, error) {
	if g.dialed.Swap(true) {
		g.lost.Store(true)
		return nil, errEnded
	}
	return &grpcSide{g.conn, &watched{&g.down, &g.lost}, g.toUpstream()}, nil
}

// failed ends a call to which there is no reply: with its connection, if that
// is why, else alone.
func (g *grpcConn) failed(http.ResponseWriter, *http.Request, error) {
	if g.lost.Load() {
		g.end(&cause{errWordUpstream, ""}, false)
	}
	panic(http.ErrAbortHandler)
}

// grpcSide is one side of a connection as HTTP/2 sees it: what passes goes
// through the stages of the link and is counted. Deadlines are the link's own.
type grpcSide struct {
	c *conn
	io.Reader
	io.Writer
}

func (s *grpcSide) Close() error                     { s.c.finish(); return nil }
func (s *grpcSide) LocalAddr() net.Addr              { return s.c.caller.LocalAddr() }
func (s *grpcSide) RemoteAddr() net.Addr             { return s.c.caller.RemoteAddr() }
func (s *grpcSide) SetDeadline(time.Time) error      { return nil }
func (s *grpcSide) SetReadDeadline(time.Time) error  { return nil }
func (s *grpcSide) SetWriteDeadline(time.Time) error { return nil }

// watched notes the end of what it reads.
type watched struct {
	r     io.Reader
	ended *atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil {
		w.ended.Store(true)
	}
	return n, err
}

// oneConn is a listener that accepts one connection and ends with it.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	taken  atomic.Bool
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken.Swap(true) {
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// answered notes the upstream's reply.
func answered(r *http.Response) error {
	if ex, ok := r.Request.Context().Value(grpcCallKey{}).(*grpcCall); ok {
		ex.reply = r
	}
	return nil
}
