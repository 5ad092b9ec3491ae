package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func rule(action faults.HTTPAction, m faults.Match) faults.Stage {
	return faults.Stage{Seed: 7, Match: m, HTTP: &faults.HTTPRule{
		Action: action, Status: 503, Body: "down", Delay: 60 * time.Millisecond,
		Header: map[string]string{"Retry-After": "1"},
	}}
}

func TestStatusRule(t *testing.T) {
	var served atomic.Int64
	r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) { served.Add(1); okHandler(w, req) })
	next := r.wire()
	r.put("five", rule(faults.HTTPStatus, faults.Match{Method: "POST", Path: "/pay/**", First: 2}))
	post := func(path string) *http.Response {
		resp, err := c.Post("http://"+r.addr+path, "text/plain", strings.NewReader("body"))
		require.NoError(t, err)
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp
	}
	var got []int
	for _, path := range []string{"/pay/1", "/other", "/pay/2/refund", "/pay/3"} {
		got = append(got, post(path).StatusCode)
	}
	assert.Equal(t, []int{503, 200, 503, 200}, got)
	assert.EqualValues(t, 2, served.Load(), "what the proxy answers is not forwarded")
	receipt := r.status("five").Receipt
	assert.EqualValues(t, 2, receipt.Hits)
	assert.Equal(t, "requests", receipt.Unit)

	first := next()
	assert.Equal(t, 503, first.Status)
	assert.Equal(t, "five", first.Fault)
	assert.False(t, first.Sent)
	second := next()
	assert.Equal(t, 200, second.Status)
	assert.Empty(t, second.Fault)
	assert.True(t, second.Sent)
	assert.Equal(t, first.Conn, second.Conn, "the connection goes on after a fault")
}

func TestStatusRuleSendsHeaderAndNoBodyToHEAD(t *testing.T) {
	r, c := httpRig(t, okHandler)
	r.put("five", rule(faults.HTTPStatus, faults.Match{}))
	for range 2 { // a second request finds the connection in order
		resp, err := c.Head("http://" + r.addr + "/")
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, 503, resp.StatusCode)
		assert.Equal(t, "1", resp.Header.Get("Retry-After"))
		assert.EqualValues(t, 4, resp.ContentLength)
	}
}

func TestDelayRule(t *testing.T) {
	r, c := httpRig(t, okHandler)
	next := r.wire()
	r.put("wait", rule(faults.HTTPDelay, faults.Match{Every: 2}))
	var took []time.Duration
	for range 4 {
		start := time.Now()
		status, _ := get(c, "http://"+r.addr+"/")
		require.Equal(t, 200, status)
		took = append(took, time.Since(start))
		e := next()
		assert.True(t, e.Sent)
	}
	assert.GreaterOrEqual(t, took[1], 60*time.Millisecond)
	assert.GreaterOrEqual(t, took[3], 60*time.Millisecond)
	assert.Less(t, took[0]+took[2], took[1]+took[3])
	assert.EqualValues(t, 2, r.status("wait").Receipt.Hits)
}

func TestDelayedRequestsGoWhenTheRuleGoes(t *testing.T) {
	r, c := httpRig(t, okHandler)
	st := rule(faults.HTTPDelay, faults.Match{})
	st.HTTP.Delay = time.Minute
	r.put("wait", st)
	status := make(chan int, 1)
	go func() { s, _ := get(c, "http://"+r.addr+"/"); status <- s }()
	eventually(t, func() bool { return r.status("wait").Receipt.Hits == 1 }, "the request waits")
	r.remove("wait")
	assert.Equal(t, 200, <-status)
}

func TestAbortAndLoseReply(t *testing.T) {
	for _, tt := range []struct {
		action faults.HTTPAction
		served int64
		sent   bool
	}{{faults.HTTPAbort, 0, false}, {faults.HTTPLoseReply, 1, true}} {
		t.Run(string(tt.action), func(t *testing.T) {
			var served atomic.Int64
			r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
				io.Copy(io.Discard, req.Body)
				served.Add(1)
				okHandler(w, req)
			})
			next := r.wire()
			r.put("x", rule(tt.action, faults.Match{First: 1}))
			_, err := c.Post("http://"+r.addr+"/pay", "text/plain", strings.NewReader("body"))
			assert.ErrorContains(t, err, "connection reset by peer")
			assert.Equal(t, tt.served, served.Load())
			e := next()
			assert.Equal(t, "reset", e.Error)
			assert.Equal(t, "x", e.Fault)
			assert.Equal(t, tt.sent, e.Sent)
			assert.Zero(t, e.Status)
			assert.EqualValues(t, 1, r.status("x").Receipt.Hits)
			status, body := get(c, "http://"+r.addr+"/again")
			assert.Equal(t, 200, status)
			assert.Equal(t, "ok /again", body)
		})
	}
}

func TestRulesComposeWithToxics(t *testing.T) {
	r, c := httpRig(t, okHandler)
	next := r.wire()
	r.put("slow", latency("50"))
	r.put("wait", rule(faults.HTTPDelay, faults.Match{First: 1}))
	start := time.Now()
	status, _ := get(c, "http://"+r.addr+"/")
	assert.Equal(t, 200, status)
	assert.GreaterOrEqual(t, time.Since(start), 110*time.Millisecond)
	assert.Equal(t, "wait", next().Fault)
	get(c, "http://"+r.addr+"/")
	assert.Equal(t, "slow", next().Fault, "without a rule the toxics' stage is named")
	r.remove("slow")
	get(c, "http://"+r.addr+"/")
	e := next()
	assert.Empty(t, e.Fault)
	assert.EqualValues(t, 1, e.Conn, "all on one connection")
}

func TestCallerLeaves(t *testing.T) {
	gone := make(chan struct{})
	arrived := make(chan struct{})
	r, c := httpRig(t, func(_ http.ResponseWriter, req *http.Request) {
		close(arrived)
		<-req.Context().Done() // the upstream sees its connection closed
		close(gone)
	})
	next := r.wire()
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+r.addr+"/slow", nil)
	go func() { <-arrived; cancel() }()
	_, err := c.Do(req)
	require.Error(t, err)
	e := next()
	assert.Equal(t, "caller-left", e.Error)
	assert.True(t, e.Sent)
	assert.Equal(t, "/slow", e.Path)
	<-gone
}

func TestUpstreamClosesWithoutReply(t *testing.T) {
	up := tcpServer(t, func(nc *net.TCPConn) {
		nc.Read(make([]byte, 1024))
		nc.Close()
	})
	r := newRig(t, ProtocolHTTP, up, Options{})
	next := r.wire()
	nc := r.dial()
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, err := nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	e := next()
	assert.Equal(t, "upstream-closed", e.Error)
	assert.True(t, e.Sent)
}

func TestKilledWhileReplyIsDue(t *testing.T) {
	arrived := make(chan struct{})
	r, c := httpRig(t, func(_ http.ResponseWriter, req *http.Request) {
		close(arrived)
		<-req.Context().Done()
	})
	next := r.wire()
	go func() { <-arrived; r.client.PutStage(r.ctx, "edge", "down", faults.Stage{Mode: faults.LinkRefuse}) }()
	status, msg := get(c, "http://"+r.addr+"/x")
	assert.Zero(t, status)
	assert.Contains(t, msg, "connection reset")
	e := next()
	assert.Equal(t, "reset", e.Error)
	assert.Equal(t, "down", e.Fault)
	assert.Equal(t, "/x", e.Path)
}

// Bodies of every framing, both ways, over one connection that sees faults come and go.
func TestBodiesSurviveSwitches(t *testing.T) {
	r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if req.URL.Query().Get("chunked") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		for part := range slices.Chunk(body, 50_000) {
			w.Write(part)
			if req.URL.Query().Get("chunked") != "" {
				w.(http.Flusher).Flush()
			}
		}
	})
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		for !done.Load() {
			r.link.PutStage(r.ctx, "lat", latency("1"))
			r.link.PutStage(r.ctx, "up", toxicStageOf("slicer", "upstream", `{"average_size":5000,"delay":1}`))
			r.link.DeleteStage(r.ctx, "lat")
			r.link.DeleteStage(r.ctx, "up")
		}
	})
	body := bytes.Repeat([]byte("0123456789abcdef\n"), 20_000)
	want := sha256.Sum256(body)
	for i := range 60 {
		src := io.Reader(bytes.NewReader(body))
		if i%2 == 0 {
			src = io.MultiReader(src) // unknown length: chunked
		}
		query := ""
		if i%3 == 0 {
			query = "?chunked=1"
		}
		resp, err := c.Post("http://"+r.addr+"/"+query, "text/plain", src)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, sha256.Sum256(got))
	}
	done.Store(true)
	wg.Wait()
}

func TestExpectContinue(t *testing.T) {
	r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body) // sends 100 Continue
		w.Write(body)
	})
	c.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // only the interim reply lets the body go
	req, _ := http.NewRequest("POST", "http://"+r.addr+"/", strings.NewReader("payload"))
	req.Header.Set("Expect", "100-continue")
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	assert.Equal(t, "payload", string(got))
}

// Pipelined requests are answered in order, those of the proxy too.
func TestPipelining(t *testing.T) {
	r, _ := httpRig(t, okHandler)
	r.put("s", rule(faults.HTTPStatus, faults.Match{Path: "/2"}))
	nc := r.dial()
	for i := range 4 {
		fmt.Fprintf(nc, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	br := bufio.NewReader(nc)
	var got []string
	for range 4 {
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		body, _ := io.ReadAll(resp.Body)
		got = append(got, string(body))
	}
	assert.Equal(t, []string{"ok /0", "ok /1", "down", "ok /3"}, got)
}
