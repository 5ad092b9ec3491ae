package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"squall/faults"
)

// fuzzWithin is when a connection that stands still counts as hung.
const fuzzWithin = 10 * time.Second

// fuzzRig is one link for all inputs of a fuzz target, with a listener as its upstream.
type fuzzRig struct {
	l     *link
	wire  *wireReader
	up    *net.TCPListener
	conns uint64 // that have been made
}

func newFuzzRig(t testing.TB, s faults.Stage) *fuzzRig {
	t.Helper()
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	wire := newWireHub()
	l, err := newLink(Proxy{Name: "edge", Listen: "127.0.0.1:0", Upstream: nl.Addr().String(), Enabled: true, Protocol: ProtocolHTTP, Edge: "a -> b", Service: "a -> b"},
		Options{}.withDefaults(), wire, newTallies())
	require.NoError(t, err)
	_, err = l.put(context.Background(), "s", s)
	require.NoError(t, err)
	t.Cleanup(func() { l.close(); nl.Close() })
	return &fuzzRig{l: l, wire: wire.subscribe(), up: nl.(*net.TCPListener)}
}

func (r *fuzzRig) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", r.l.config().Listen)
	require.NoError(t, err)
	nc.SetDeadline(time.Now().Add(fuzzWithin))
	return nc.(*net.TCPConn)
}

// logged waits until the connection has ended and returns what was logged: the
// requests, and whether it passed as plain TCP.
func (r *fuzzRig) logged(t *testing.T) (requests []Exchange, plain bool) {
	t.Helper()
	poll(t, func() bool { return len(r.l.live()) == 0 }, "the connection ends")
	for {
		select {
		case e := <-r.wire.lines:
			if e.Method == "" {
				plain = true
			} else {
				requests = append(requests, *e)
			}
			continue
		default:
		}
		slices.SortFunc(requests, func(a, b Exchange) int { return int(a.N) - int(b.N) })
		return requests, plain
	}
}

func poll(t *testing.T, cond func() bool, what string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Microsecond)
	defer tick.Stop()
	for end := time.Now().Add(fuzzWithin); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("hung: %s", what)
		}
	}
}

// fuzzUpstream reads a connection as net/http does and answers each request. What
// net/http refuses it refuses, and swallows the rest.
type fuzzUpstream struct {
	got     bytes.Buffer // every byte
	n       atomic.Int64 // of them
	reading atomic.Bool  // it waits for more, having answered all that came
	seen    []string     // method and path of each request that came whole
	done    chan struct{}
	nc      net.Conn
}

func (r *fuzzRig) accept() *fuzzUpstream {
	u := &fuzzUpstream{done: make(chan struct{})}
	r.up.SetDeadline(time.Now().Add(2 * fuzzWithin))
	go func() {
		defer close(u.done)
		var err error
		if u.nc, err = r.up.Accept(); err != nil {
			return
		}
		defer u.nc.Close()
		u.nc.SetDeadline(time.Now().Add(2 * fuzzWithin))
		u.serve(bufio.NewReader(u))
	}()
	return u
}

func (u *fuzzUpstream) Read(p []byte) (int, error) {
	u.reading.Store(true)
	n, err := u.nc.Read(p)
	u.reading.Store(false)
	u.got.Write(p[:n])
	u.n.Add(int64(n))
	return n, err
}

func (u *fuzzUpstream) serve(br *bufio.Reader) {
	for {
		req, err := http.ReadRequest(br)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		if err == nil && req.Method == "PRI" {
			io.Copy(io.Discard, br)
			return
		}
		if err != nil || req.Method == "CONNECT" {
			io.WriteString(u.nc, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, br)
			return
		}
		target, _, _ := strings.Cut(req.RequestURI, "?")
		u.seen = append(u.seen, req.Method+" "+target)
		io.WriteString(u.nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

// rest waits until nothing more will happen before the caller does something: all
// that it sent has been read and passed on, and all replies have come back.
func (r *fuzzRig) rest(t *testing.T, nc *net.TCPConn, u *fuzzUpstream) {
	t.Helper()
	r.conns++
	poll(t, func() bool { return r.l.connections.Load() == r.conns }, "the connection comes")
	still := 0 // looks in a row: between a read and what follows from it there is a moment
	poll(t, func() bool {
		if still++; !r.still(nc, u) {
			still = 0
		}
		return still >= 10
	}, "all is read, passed on and answered")
}

func (r *fuzzRig) still(nc *net.TCPConn, u *fuzzUpstream) bool {
	live := r.l.live()
	if len(live) == 0 {
		return true
	}
	c := live[0]
	if unacked(nc) > 0 || unread(c.caller) > 0 || c.up.gen.Load() == atRest {
		return false
	}
	c.mu.Lock()
	upstream := c.upstream
	c.mu.Unlock()
	if upstream == nil {
		return true
	}
	return u.reading.Load() && u.n.Load() == c.sent.Load() && unacked(u.nc.(*net.TCPConn)) == 0 &&
		unread(upstream) == 0 && c.down.gen.Load() != atRest
}

// unread is how many bytes the kernel has for who reads c.
func unread(c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	}
	return n
}

// smuggling inputs: what two parsers may read differently, and what is no HTTP/1.
var smuggling = []string{
	"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\x0b3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tContent-Length: 3\r\n\r\nabc",
	"POST / HTTP/1.1\nHost: x\nContent-Length: 3\n\nabcGET /hit HTTP/1.1\n\n",
	"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hit HTTP/1.1\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n000\r\n: b\r\n\r\n",
	"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nGET /hit HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /hit HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
	"POST /hit HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
	"GET http://x/hit HTTP/1.1\r\nHost: x\r\n\r\n", "GET /%68it HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hit?x HTTP/1.1\r\nHost: x\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x", "GET  / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "",
}

// FuzzRequests sends what comes through a whole link with a rule that answers
// /hit. The upstream reads as net/http does. Bytes arrive unchanged and in order,
// without those of the requests that were answered; the upstream sees the very
// requests that the proxy does, so that none is smuggled past a rule; and nothing hangs.
func FuzzRequests(f *testing.F) {
	for _, s := range smuggling {
		f.Add([]byte(s))
	}
	rule := act(faults.HTTPRule{Action: faults.HTTPStatus, Status: 503})
	rule.Match.Path = "/hit"
	r := newFuzzRig(f, rule)
	f.Fuzz(func(t *testing.T, data []byte) {
		up := r.accept()
		nc := r.dial(t)
		read := make(chan struct{})
		go func() { io.Copy(io.Discard, nc); close(read) }()
		nc.Write(data)
		r.rest(t, nc, up)
		nc.CloseWrite()
		requests, plain := r.logged(t)
		<-read
		nc.Close()
		r.up.SetDeadline(time.Now()) // where nothing was forwarded nobody came
		<-up.done
		checkForwarded(t, data, up.got.Bytes(), requests)
		checkSeen(t, up.seen, requests, plain)
	})
}

// checkForwarded: what the upstream got is what was sent, in order, without the
// requests that were answered and without an end that was never whole.
func checkForwarded(t *testing.T, data, got []byte, requests []Exchange) {
	t.Helper()
	rest := got
	for _, e := range requests {
		n := min(int(e.In), len(data))
		if e.Fault == "" {
			m := min(n, len(rest))
			if !bytes.Equal(rest[:m], data[:m]) {
				t.Fatalf("request %s: bytes changed: sent %q, got %q", e.Path, data, got)
			}
			rest = rest[m:]
		}
		data = data[n:]
	}
	if !bytes.HasPrefix(data, rest) {
		t.Fatalf("after the requests: %q is no start of %q", rest, data)
	}
}

// checkSeen: request for request, the upstream reads what the proxy read.
func checkSeen(t *testing.T, seen []string, requests []Exchange, plain bool) {
	t.Helper()
	var forwarded []string
	for _, e := range requests {
		if e.Fault == "" {
			forwarded = append(forwarded, e.Method+" "+e.Path)
		}
	}
	for i, s := range seen {
		switch {
		case i >= len(forwarded) && !plain:
			t.Fatalf("the upstream saw %q, the proxy only %q", seen, forwarded)
		case i < len(forwarded) && pathOf(strings.TrimPrefix(s, forwarded[i][:strings.IndexByte(forwarded[i], ' ')+1])) != forwarded[i][strings.IndexByte(forwarded[i], ' ')+1:]:
			t.Fatalf("request %d: the upstream saw %q, the proxy %q", i, s, forwarded[i])
		}
	}
}

// FuzzReplies has an upstream answer whatever comes. The caller gets it unchanged
// and whole, and nothing hangs.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\nextra", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "junk", "",
	} {
		f.Add([]byte(s), false)
	}
	r := newFuzzRig(f, act(faults.HTTPRule{Action: faults.HTTPDelay, Delay: 1}))
	f.Fuzz(func(t *testing.T, data []byte, head bool) {
		go func() {
			r.up.SetDeadline(time.Now().Add(fuzzWithin))
			nc, err := r.up.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(fuzzWithin))
			if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
				nc.Write(data)
			}
		}()
		method := "GET"
		if head {
			method = "HEAD"
		}
		nc := r.dial(t)
		io.WriteString(nc, method+" / HTTP/1.1\r\nHost: x\r\n\r\n")
		got, err := io.ReadAll(nc)
		nc.Close()
		r.logged(t)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Fatalf("hung after %q", got)
		}
		if !bytes.HasPrefix(data, got) {
			t.Fatalf("bytes changed: sent %q, got %q", data, got)
		}
		if len(got) < len(data) {
			t.Fatalf("%q is missing of %q", data[len(got):], data)
		}
	})
}
