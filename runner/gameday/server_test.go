package gameday

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	opToken  = "OPERATOROPERATOROPERATOR"
	obsToken = "OBSERVEROBSERVEROBSERVER"
)

// guarded is a live page that serves, and what was said to it.
type guarded struct {
	url, addr string
	mu        sync.Mutex
	said      []Command
}

func serveGuarded(t *testing.T) *guarded {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &guarded{url: "http://" + l.Addr().String(), addr: l.Addr().String()}
	s := NewServer(ServerConfig{
		Operator: opToken, Observer: obsToken, Hosts: []string{g.addr},
		Say: func(c Command) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if err := c.Check(); err != nil {
				return err
			}
			g.said = append(g.said, c)
			return nil
		},
		Day: map[string]string{"secret": "of the day"},
		Events: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			chunk := []byte("data: " + strings.Repeat("x", 1<<20) + "\n\n")
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}),
		Files: map[string]func() ([]byte, string, error){"report.html": func() ([]byte, string, error) { return []byte("the report"), "text/html", nil }},
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l, nil) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.NoError(t, <-served)
	})
	return g
}

type ask struct {
	method, path, host string
	header             map[string]string
	body               string
}

func (g *guarded) do(t *testing.T, c *http.Client, a ask) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(a.method, g.url, strings.NewReader(a.body))
	require.NoError(t, err)
	req.URL.Opaque = a.path // as it is written
	for k, v := range a.header {
		req.Header.Set(k, v)
	}
	if a.host != "" {
		req.Host = a.host
	}
	res, err := c.Do(req)
	if err != nil && a.header["X-Long"] != "" {
		return http.StatusRequestHeaderFieldsTooLarge, "", nil // cut off while it was still sending
	}
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if a.header["X-Long"] == "" {
		require.NoError(t, err)
	}
	return res.StatusCode, string(text), res.Header
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"}
}

func with(h map[string]string, k, v string) map[string]string {
	h[k] = v
	return h
}

const noteBody = `{"what":"note","author":"ana","text":"x"}`

// Strangers get nothing, observers may look, operators may act; and nothing that
// is refused says anything, or echoes a token.
func TestGuard(t *testing.T) {
	for name, tt := range map[string]struct {
		ask
		want int
		said bool
	}{
		"the shell of the page":      {ask{"GET", "/", "", nil, ""}, 200, false},
		"no token":                   {ask{"GET", "/day", "", nil, ""}, 401, false},
		"no token for events":        {ask{"GET", "/events", "", nil, ""}, 401, false},
		"no token for files":         {ask{"GET", "/files/report.html", "", nil, ""}, 401, false},
		"no token to act":            {ask{"POST", "/command", "", map[string]string{"Content-Type": "application/json"}, noteBody}, 401, false},
		"wrong token":                {ask{"POST", "/command", "", bearer("WRONG"), noteBody}, 401, false},
		"empty token":                {ask{"POST", "/command", "", bearer(""), noteBody}, 401, false},
		"part of the token":          {ask{"POST", "/command", "", bearer(opToken[:10]), noteBody}, 401, false},
		"observer looks":             {ask{"GET", "/day", "", bearer(obsToken), ""}, 200, false},
		"observer acts":              {ask{"POST", "/command", "", bearer(obsToken), noteBody}, 403, false},
		"operator acts":              {ask{"POST", "/command", "", bearer(opToken), noteBody}, 200, true},
		"token in the query":         {ask{"GET", "/day?token=" + opToken, "", nil, ""}, 400, false},
		"token in the path":          {ask{"GET", "/files/" + obsToken, "", bearer(obsToken), ""}, 400, false},
		"any token parameter":        {ask{"GET", "/?token=x", "", nil, ""}, 400, false},
		"cross-site form":            {ask{"POST", "/command", "", with(bearer(opToken), "Origin", "https://evil.example"), noteBody}, 403, false},
		"cross-site fetch":           {ask{"POST", "/command", "", with(bearer(opToken), "Sec-Fetch-Site", "cross-site"), noteBody}, 403, false},
		"cross-site login":           {ask{"POST", "/login", "", map[string]string{"Origin": "null", "Content-Type": "application/json"}, `{"token":"` + opToken + `"}`}, 403, false},
		"a name bound to us":         {ask{"GET", "/day", "evil.example", bearer(opToken), ""}, 421, false},
		"a name and our port":        {ask{"POST", "/command", "evil.example:80", bearer(opToken), noteBody}, 421, false},
		"a form":                     {ask{"POST", "/command", "", with(bearer(opToken), "Content-Type", "text/plain"), noteBody}, 415, false},
		"a file":                     {ask{"GET", "/files/report.html", "", bearer(obsToken), ""}, 200, false},
		"out of the folder":          {ask{"GET", "/files/..%2f..%2fetc%2fpasswd", "", bearer(obsToken), ""}, 404, false},
		"out of it, doubly":          {ask{"GET", "/files/%252e%252e/etc/passwd", "", bearer(obsToken), ""}, 404, false},
		"an absolute path":           {ask{"GET", "/files/%2fetc%2fpasswd", "", bearer(obsToken), ""}, 404, false},
		"out of the page":            {ask{"GET", "/%2e%2e/server.go", "", nil, ""}, 404, false},
		"oversized body":             {ask{"POST", "/command", "", bearer(opToken), `{"what":"note","author":"ana","text":"` + strings.Repeat("x", maxBody) + `"}`}, 413, false},
		"oversized text":             {ask{"POST", "/command", "", bearer(opToken), `{"what":"note","author":"ana","text":"` + strings.Repeat("x", maxText+1) + `"}`}, 409, false},
		"oversized header":           {ask{"GET", "/day", "", with(bearer(opToken), "X-Long", strings.Repeat("x", 2*maxHeader)), ""}, 431, false},
		"not JSON":                   {ask{"POST", "/command", "", bearer(opToken), "what=abort"}, 400, false},
		"unknown field":              {ask{"POST", "/command", "", bearer(opToken), `{"what":"note","author":"a","text":"x","step":"y"}`}, 400, false},
		"unknown command":            {ask{"POST", "/command", "", bearer(opToken), `{"what":"exec","author":"a","text":"x"}`}, 409, false},
		"nobody's":                   {ask{"POST", "/command", "", bearer(opToken), `{"what":"note","text":"x"}`}, 409, false},
		"an author of several lines": {ask{"POST", "/command", "", bearer(opToken), `{"what":"note","author":"a\nb","text":"x"}`}, 409, false},
		"wrong method":               {ask{"GET", "/command", "", bearer(opToken), ""}, 405, false},
		"deleting":                   {ask{"DELETE", "/day", "", bearer(opToken), ""}, 405, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := serveGuarded(t)
			code, text, header := g.do(t, &http.Client{}, tt.ask)
			assert.Equal(t, tt.want, code, text)
			assert.Equal(t, tt.said, len(g.said) == 1)
			assert.NotContains(t, text, opToken)
			assert.NotContains(t, text, "root:")
			if code >= 400 {
				assert.NotContains(t, text, "secret")
			}
			if code != 400 && code != 431 { // those net/http answers before us, or without us
				assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
				assert.Equal(t, "no-store", header.Get("Cache-Control"))
			}
		})
	}
}

// A page logs in with its token and acts with its session from then on.
func TestSession(t *testing.T) {
	g := serveGuarded(t)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	page := &http.Client{Jar: jar}
	json := map[string]string{"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
	code, _, _ := g.do(t, page, ask{"POST", "/login", "", json, `{"token":"WRONG"}`})
	assert.Equal(t, 401, code)
	code, text, header := g.do(t, page, ask{"POST", "/login", "", json, `{"token":"` + opToken + `"}`})
	require.Equal(t, 200, code, text)
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict"} {
		assert.Contains(t, cookie, want)
	}
	assert.NotContains(t, cookie, opToken, "a session is not the token")
	id := strings.SplitN(strings.SplitN(cookie, "=", 2)[1], ";", 2)[0]
	session := with(map[string]string{"Content-Type": "application/json"}, "Cookie", strings.SplitN(cookie, ";", 2)[0])
	code, text, _ = g.do(t, &http.Client{}, ask{"POST", "/command", "", session, noteBody})
	assert.Equal(t, 200, code, text)
	code, _, _ = g.do(t, &http.Client{}, ask{"POST", "/command", "", bearer(id), noteBody})
	assert.Equal(t, 401, code, "a session is no token")
	code, _, _ = g.do(t, &http.Client{}, ask{"POST", "/command", "", with(session, "Sec-Fetch-Site", "cross-site"), noteBody})
	assert.Equal(t, 403, code, "another site cannot use it")
}

// Who sends or reads slowly is cut off, and keeps nobody else from the page.
func TestSlowClients(t *testing.T) {
	g := serveGuarded(t)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", g.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	slow := dial() // never ends its header
	_, err := fmt.Fprintf(slow, "GET / HTTP/1.1\r\nHost: %s\r\n", g.addr)
	require.NoError(t, err)
	deaf := dial() // takes a stream and does not read it
	_, err = fmt.Fprintf(deaf, "GET /events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", g.addr, obsToken)
	require.NoError(t, err)
	lazy := dial() // announces a body and sends none
	_, err = fmt.Fprintf(lazy, "POST /command HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n", g.addr, opToken)
	require.NoError(t, err)
	begun := time.Now()
	code, _, _ := g.do(t, &http.Client{}, ask{"POST", "/command", "", bearer(opToken), noteBody})
	assert.Equal(t, 200, code)
	assert.Less(t, time.Since(begun), headerTime, "others are served meanwhile")
	for what, c := range map[string]net.Conn{"slow header": slow, "no body": lazy} {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(readTime+5*time.Second)))
		_, err := io.Copy(io.Discard, bufio.NewReader(c))
		assert.NoError(t, err, what+" is cut off")
	}
	// Nothing was read so far; what fits into the buffers of the connection is there, and then its end.
	require.NoError(t, deaf.SetReadDeadline(time.Now().Add(20*time.Second)))
	waited := time.Since(begun)
	if waited < writeTime+time.Second {
		<-time.After(writeTime + time.Second - waited)
	}
	n, _ := io.Copy(io.Discard, deaf)
	assert.Less(t, n, int64(64<<20), "it does not go on for who does not read")
}

// However many follow, whoever acts finds a place.
func TestManyFollow(t *testing.T) {
	g := serveGuarded(t)
	for range maxStreams {
		c, err := net.Dial("tcp", g.addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "GET /events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", g.addr, obsToken)
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK")))
		require.NoError(t, err)
	}
	code, _, _ := g.do(t, &http.Client{}, ask{"GET", "/events", "", bearer(obsToken), ""})
	assert.Equal(t, 503, code)
	code, text, _ := g.do(t, &http.Client{}, ask{"POST", "/command", "", bearer(opToken), noteBody})
	assert.Equal(t, 200, code, text)
}

// However many connections strangers hold, they do not hold them for long.
func TestManySilentClients(t *testing.T) {
	g := serveGuarded(t)
	for range maxClients + 10 {
		c, err := net.Dial("tcp", g.addr)
		require.NoError(t, err)
		defer c.Close()
	}
	begun := time.Now()
	code, text, _ := g.do(t, &http.Client{Timeout: 20 * time.Second}, ask{"POST", "/command", "", bearer(opToken), noteBody})
	assert.Equal(t, 200, code, text)
	t.Logf("answered after %s", time.Since(begun))
	assert.Less(t, time.Since(begun), 2*headerTime+2*time.Second, "each place is free again after the time for a header")
}

// Off loopback nothing is served without TLS.
func TestOnlyLoopbackWithoutTLS(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer l.Close()
	s := NewServer(ServerConfig{Operator: opToken, Observer: obsToken, Hosts: []string{l.Addr().String()}, Events: http.NotFoundHandler()})
	assert.ErrorContains(t, s.Serve(l, nil), "need TLS")

	over, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(over, &tls.Config{}) }()
	res, err := http.Get("http://" + strings.Replace(over.Addr().String(), "[::]", "127.0.0.1", 1) + "/")
	if err == nil {
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		assert.Equal(t, 400, res.StatusCode)
		assert.False(t, bytes.Contains(text, []byte("<html")), "plain HTTP gets nothing of the page")
	}
	require.NoError(t, s.Close())
	<-served
}
