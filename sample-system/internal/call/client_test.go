package call_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// callee is an HTTP server; its address stays the same when it is started again.
type callee struct {
	t       testing.TB
	addr    string
	handler http.HandlerFunc
	server  *httptest.Server

	accepted atomic.Int64
}

func serve(t testing.TB, handler http.HandlerFunc) *callee {
	c := &callee{t: t, addr: "127.0.0.1:0", handler: handler}
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *callee) start() {
	l, err := net.Listen("tcp", c.addr)
	require.NoError(c.t, err)
	c.addr = l.Addr().String()
	c.server = &httptest.Server{Listener: l, Config: &http.Server{
		Handler: c.handler,
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				c.accepted.Add(1)
			}
		},
	}}
	c.server.Start()
}

// stop ends the server and resets its connections.
func (c *callee) stop() {
	c.server.CloseClientConnections()
	c.server.Close()
}

func (c *callee) base() string { return "http://" + c.addr }

// client is that of the edge "test -> callee".
func client(t testing.TB, to call.Targets, defects ...string) (*service.Host, *call.Client) {
	h := servicetest.Host(t, defects...)
	return h, call.New(h, "callee", to)
}

func TestWhatIsPassedOn(t *testing.T) {
	arrived := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		arrived <- r
		bodies <- string(b)
		w.Header().Set("X-Version", "v2")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"a"}`)
	})
	_, client := client(t, call.Static(c.base()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx = service.WithOperation(ctx, service.Operation{ID: "op-1"})
	reply, err := client.Do(ctx, http.MethodPost, "/charges?x=1", "key-1", map[string]int{"amount": 5})
	require.NoError(t, err)
	got := <-arrived
	assert.Equal(t, http.StatusCreated, reply.Status)
	assert.Equal(t, "application/json", reply.ContentType)
	assert.Equal(t, "v2", reply.Header.Get("X-Version"))
	assert.Equal(t, `{"id":"a"}`, string(reply.Body))
	assert.Equal(t, "/charges?x=1", got.URL.String())
	assert.JSONEq(t, `{"amount":5}`, <-bodies)
	assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
	assert.Equal(t, "op-1", got.Header.Get(service.RequestIDHeader))
	assert.Equal(t, "key-1", got.Header.Get(service.IdempotencyHeader))
	assert.NotEmpty(t, got.Header.Get("Traceparent"))
	assert.NotEmpty(t, got.Header.Get(deadline.Header))

	require.NoError(t, client.Get(t.Context(), "/x", nil))
	got = <-arrived
	assert.Empty(t, got.Header.Get(service.IdempotencyHeader))
	assert.Empty(t, got.Header.Get(deadline.Header))
	assert.Empty(t, <-bodies)
}

// TestOutcome: what an error tells about the call.
func TestOutcome(t *testing.T) {
	refused := serve(t, nil)
	refused.stop()
	defer refused.start()
	for name, tt := range map[string]struct {
		answer                      http.HandlerFunc
		base                        string
		want                        string // in the error
		unavailable, notSent, timed bool
	}{
		"fine":            {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }},
		"refusal":         {answer: status(409), want: "call test -> callee: status 409: why"},
		"overload":        {answer: status(503), want: "status 503: why", unavailable: true},
		"not implemented": {answer: status(501), want: "status 501"},
		"redirect":        {answer: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/y", http.StatusFound) }, want: "status 302"},
		"no JSON":         {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "moo") }, want: "decode answer", unavailable: true},
		"hangs":           {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: "deadline exceeded", unavailable: true, timed: true},
		"no connection":   {base: refused.base(), want: "refused", unavailable: true, notSent: true},
		"no URL":          {base: "http://a b", want: "invalid", unavailable: true, notSent: true},
		"too much":        {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2<<20)) }, want: "more than", unavailable: true},
		"cut off":         {answer: raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"a\":1}"), want: "unexpected EOF", unavailable: true},
		"chunks cut off":  {answer: raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n"), want: "unexpected EOF", unavailable: true},
		"without length":  {answer: raw("HTTP/1.1 200 OK\r\n\r\n{\"a\":1}"), want: "no length", unavailable: true},
	} {
		t.Run(name, func(t *testing.T) {
			base := tt.base
			if base == "" {
				base = serve(t, tt.answer).base()
			}
			_, client := client(t, call.Static(base))
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			var out map[string]int
			err := client.Post(ctx, "/x", "key", nil, &out)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			assert.Equal(t, tt.unavailable, call.Unavailable(err), "unavailable")
			assert.Equal(t, tt.notSent, call.NotSent(err), "not sent")
			assert.Equal(t, tt.timed, call.IsTimeout(err), "timeout")
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		service.WriteProblem(w, service.Problem{Status: code, Title: "no", Detail: "why"})
	}
}

// raw answers with these bytes and closes the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer)
	}
}

// TestPolicyTimeoutIsTold: a policy ends the context with a reason of its own.
func TestPolicyTimeoutIsTold(t *testing.T) {
	errPolicy := errors.New("policy's reason")
	entered := make(chan struct{})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(entered); <-r.Context().Done() })
	_, client := client(t, call.Static(c.base()))
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-entered; cancel(errPolicy) }()
	assert.ErrorIs(t, client.Get(ctx, "/x", nil), errPolicy)
}

// TestInstances: calls go where the registry says, a failed one is repeated
// elsewhere, and To restricts.
func TestInstances(t *testing.T) {
	dead := serve(t, nil)
	dead.stop()
	defer dead.start()
	var hits atomic.Int64
	good := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	h := servicetest.Host(t)
	client := call.New(h, "callee", registry.NewResolver(h, nil, "callee", dead.addr+","+good.addr))
	failed := 0
	for range 20 {
		reply, err := client.Do(t.Context(), http.MethodGet, "/x", "", nil)
		if err != nil {
			failed++
			reply, err = client.Do(t.Context(), http.MethodGet, "/x", "", nil)
		}
		require.NoError(t, err)
		assert.Equal(t, "callee-2", reply.Instance.Name)
	}
	assert.Positive(t, failed)
	assert.Less(t, failed, 10, "half of the calls, as if all were well")
	assert.EqualValues(t, 20, hits.Load())

	only := func(name string) *call.Client {
		return client.To(func(i registry.Instance) bool { return i.Name == name })
	}
	require.NoError(t, only("callee-2").Get(t.Context(), "/x", nil))
	require.Error(t, only("callee-1").Get(t.Context(), "/x", nil))
	err := only("callee-3").Get(t.Context(), "/x", nil)
	require.ErrorIs(t, err, registry.ErrNone)
	assert.True(t, call.NotSent(err))
	assert.True(t, call.Unavailable(err))
}

// TestNoTimeLeft: a call whose time is up before it begins is not sent, and no
// instance is to blame for it.
func TestNoTimeLeft(t *testing.T) {
	var hits atomic.Int64
	c := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	var blamed []error
	_, client := client(t, targets(func() registry.Target {
		return registry.Target{Base: c.base(), Done: func(err error) { blamed = append(blamed, err) }}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	err := client.Post(ctx, "/x", "key", nil, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, call.NotSent(err))
	assert.True(t, call.IsTimeout(err))
	assert.Empty(t, blamed)
	assert.Zero(t, hits.Load())
}

// targets is a choice of one.
type targets func() registry.Target

func (f targets) Pick(func(registry.Instance) bool) (registry.Target, error) { return f(), nil }

// FuzzAnswer: whatever a callee answers, a call ends, and a success is whole.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/9.9\r\n", "", "\x00\x01", "HTTP/1.1 204 No Content\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	answer := make(chan []byte, 1)
	c := serve(f, func(w http.ResponseWriter, r *http.Request) { raw(string(<-answer))(w, r) })
	h := servicetest.Host(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		answer <- b
		client := call.New(h, "callee", call.Static(c.base()))
		reply, err := client.Do(t.Context(), http.MethodPost, "/x", "", nil)
		if err == nil && (reply.Status < 100 || len(reply.Body) > len(b)) {
			t.Fatalf("%q became %+v", b, reply)
		}
	})
}
