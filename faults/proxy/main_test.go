package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"squall/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with one proxied edge, driven through its API.
type rig struct {
	t      *testing.T
	ctx    context.Context
	base   string
	server *Server
	client *Client
	link   faults.Link
	addr   string // of the proxied edge
}

// newRig proxies upstream. The server's end is part of every test: it must
// leave no goroutine behind.
func newRig(t *testing.T, protocol, upstream string, opts Options) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	server := NewServer(opts)
	go func() { served <- server.Serve(ctx, nl) }()
	r := &rig{t: t, ctx: ctx, server: server, base: "http://" + nl.Addr().String()}
	r.client = NewClient(r.base)
	t.Cleanup(func() {
		r.client.Close()
		cancel()
		require.NoError(t, <-served)
	})
	p, err := r.client.CreateProxy(ctx, Proxy{
		Name: "edge", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true,
		Protocol: protocol, Edge: "a -> b",
	})
	require.NoError(t, err)
	r.addr, r.link = p.Listen, r.client.Link("edge", "a -> b")
	return r
}

// patience is how long a test waits for what comes at once: what is lost must
// say so before the whole package runs out of time.
const patience = time.Minute

func (r *rig) put(id string, s faults.Stage) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	require.NoError(r.t, r.link.PutStage(ctx, id, s))
}

func (r *rig) remove(id string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	require.NoError(r.t, r.link.DeleteStage(ctx, id))
}

func (r *rig) status(id string) faults.StageStatus {
	r.t.Helper()
	s, err := r.link.StageStatus(r.ctx, id)
	require.NoError(r.t, err)
	return s
}

func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { nc.Close() })
	return nc.(*net.TCPConn)
}

// wire returns a function that reads the next line of the wire log.
func (r *rig) wire() func() Exchange {
	r.t.Helper()
	body, err := r.client.Wire(r.ctx)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { body.Close() })
	lines := bufio.NewScanner(body)
	return func() (e Exchange) {
		r.t.Helper()
		require.True(r.t, lines.Scan(), "wire log ended: %v", lines.Err())
		require.NoError(r.t, json.Unmarshal(lines.Bytes(), &e))
		return e
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, 5*time.Second, time.Millisecond, what)
}

// tcpServer serves every connection with handle until the test ends.
func tcpServer(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conns := make(chan net.Conn, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := nl.Accept()
			if err != nil {
				return
			}
			conns <- nc
			go handle(nc.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		nl.Close()
		<-done
		close(conns)
		for nc := range conns {
			nc.Close()
		}
	})
	return nl.Addr().String()
}

func echo(nc *net.TCPConn) {
	io.Copy(nc, nc)
	nc.CloseWrite()
}

// httpRig proxies an HTTP server and returns a client with its own connections.
func httpRig(t *testing.T, h http.HandlerFunc) (*rig, *http.Client) {
	t.Helper()
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	r := newRig(t, ProtocolHTTP, strings.TrimPrefix(up.URL, "http://"), Options{})
	return r, newHTTPClient(t)
}

func newHTTPClient(t *testing.T) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// get returns status and body, or 0 and the error's text.
func get(c *http.Client, url string) (int, string) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func okHandler(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok "+r.URL.Path) }

func latency(ms string) faults.Stage {
	return faults.Stage{Toxics: []faults.Toxic{{Type: "latency", Toxicity: 1, Attributes: json.RawMessage(`{"latency":` + ms + `}`)}}}
}

func TestHTTPThroughProxy(t *testing.T) {
	r, c := httpRig(t, okHandler)
	next := r.wire()
	req, _ := http.NewRequest("GET", "http://"+r.addr+"/orders/7?x=1", nil)
	req.Header.Set("X-Request-Id", "op-1")
	req.Header.Set("Idempotency-Key", "key-1")
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	resp, err := c.Do(req)
	require.NoError(t, err)
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	e := next()
	assert.Positive(t, e.At)
	assert.Positive(t, e.Dur)
	assert.Positive(t, e.In)
	assert.Positive(t, e.Out)
	e.At, e.Dur, e.In, e.Out = 0, 0, 0, 0
	assert.Equal(t, Exchange{Edge: "a -> b", Conn: 1, N: 1, Method: "GET", Path: "/orders/7", Status: 200,
		Op: "op-1", Key: "key-1", Trace: "0af7651916cd43dd8448eb211c80319c", Sent: true}, e)
}
