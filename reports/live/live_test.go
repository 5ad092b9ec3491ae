package live_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/reports/live"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func writer(t *testing.T) (*record.Writer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "psp-slow")
	w, err := record.Create(dir, record.Header{Run: "psp-slow", Scenario: "psp-slow", Title: "Slow <b>provider</b>", Started: time.Now()})
	require.NoError(t, err)
	return w, dir
}

func options() live.Options {
	return live.Options{Scenario: &spec.Scenario{}, System: &spec.System{}, Judge: func(_ context.Context, run *record.Run) verdict.Result {
		if run.End != nil {
			return verdict.Result{Verdict: verdict.Pass, Sentence: "pass: it is over"}
		}
		return verdict.Result{Verdict: verdict.Inconclusive, Sentence: "inconclusive: it goes on"}
	}}
}

// event is one server-sent event.
type event struct{ name, id, data string }

// events reads a stream, one event after the other, until it ends.
func events(t *testing.T, url, last string) (<-chan event, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/events", nil)
	require.NoError(t, err)
	req.Header.Set("Last-Event-ID", last)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	out := make(chan event)
	go func() {
		defer close(out)
		defer res.Body.Close()
		var e event
		for lines := bufio.NewReader(res.Body); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.data != "" {
					select {
					case out <- e:
					case <-ctx.Done():
						return
					}
				}
				e = event{}
			}
		}
	}()
	return out, cancel
}

// next is the next event that is wanted.
func next(t *testing.T, from <-chan event, want func(event) bool) event {
	t.Helper()
	for e := range from {
		if want(e) {
			return e
		}
	}
	require.Fail(t, "the stream ended")
	return event{}
}

func TestPageFollowsTheRunToItsEnd(t *testing.T) {
	w, dir := writer(t)
	page := live.New(dir, options())
	server := httptest.NewServer(page)
	defer server.Close()

	res, err := http.Get(server.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	assert.Contains(t, string(body), "The run goes on")
	assert.Contains(t, string(body), "connect-src &#39;self&#39;")
	assert.Contains(t, string(body), "Slow &lt;b&gt;provider")

	stream, stop := events(t, server.URL, "")
	defer stop()
	require.NoError(t, w.Append(record.TypeNote, record.Note{Author: "ann", Text: "watch this"}))
	next(t, stream, func(e event) bool { return e.name == "section" && strings.Contains(e.data, "watch this") })

	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	next(t, stream, func(e event) bool { return e.name == "section" && strings.Contains(e.data, "It is over") })
	next(t, stream, func(e event) bool { return e.name == "end" })
	_, more := <-stream
	assert.False(t, more, "the server ends the stream")
}

// A watcher who neither reads nor hangs up does not keep a run from ending.
func TestCloseWaitsForNobody(t *testing.T) {
	w, dir := writer(t)
	defer w.Close(record.End{Reason: record.EndDone})
	s, err := live.Serve("127.0.0.1:0")
	require.NoError(t, err)
	s.Add("psp-slow", live.New(dir, options()))
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /psp-slow/events HTTP/1.1\r\nHost: "+conn.RemoteAddr().String()+"\r\n\r\n")
	require.NoError(t, err)
	one := make([]byte, 1)
	_, err = io.ReadFull(conn, one) // the stream has begun
	require.NoError(t, err)
	for range 2000 { // more than a connection holds
		require.NoError(t, w.Append(record.TypeNote, record.Note{Text: strings.Repeat("x", 4000)}))
	}
	began := time.Now()
	require.NoError(t, s.Close())
	assert.Less(t, time.Since(began), 5*time.Second)
}

func TestServerIsForThisMachineOnly(t *testing.T) {
	_, err := live.Serve("0.0.0.0:0")
	assert.ErrorContains(t, err, "not an address of this machine alone")

	w, dir := writer(t)
	defer w.Close(record.End{Reason: record.EndDone})
	s, err := live.Serve("127.0.0.1:0")
	require.NoError(t, err)
	defer s.Close()
	get := func(path, host string) *http.Response {
		req, err := http.NewRequest("GET", strings.TrimSuffix(s.URL(), "/")+path, nil)
		require.NoError(t, err)
		req.Host = host
		res, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		res.Body.Close()
		return res
	}
	assert.Equal(t, http.StatusNotFound, get("/", "").StatusCode, "no run yet")
	s.Add("psp-slow", live.New(dir, options()))
	res := get("/", "")
	assert.Equal(t, http.StatusFound, res.StatusCode)
	assert.Equal(t, "/psp-slow/", res.Header.Get("Location"))
	assert.Equal(t, http.StatusOK, get("/psp-slow/", "").StatusCode)
	assert.Equal(t, http.StatusNotFound, get("/other/", "").StatusCode)
	assert.Equal(t, http.StatusMisdirectedRequest, get("/psp-slow/", "evil.example").StatusCode, "a name of somebody else that leads here")
}

func TestPageOfARunThatHasNotBegun(t *testing.T) {
	server := httptest.NewServer(live.New(filepath.Join(t.TempDir(), "none"), options()))
	defer server.Close()
	res, err := http.Get(server.URL)
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
}
