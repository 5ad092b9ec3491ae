//go:build e2e || soak

package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// link is a reverse proxy that can be told to fail requests.
type link struct {
	*httptest.Server
	mu   sync.Mutex
	fail func(path string) bool
	seen chan string // paths of failed requests, as far as there is room
}

func newLink(t testing.TB, to string) *link {
	target := &url.URL{Scheme: "http", Host: to}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) } // as a link that breaks
	l := &link{seen: make(chan string, 100)}
	l.failOn("")
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		fail := l.fail(r.URL.Path)
		l.mu.Unlock()
		if !fail {
			proxy.ServeHTTP(w, r)
			return
		}
		select {
		case l.seen <- r.URL.Path:
		default:
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(l.Close)
	return l
}

// failOn answers requests whose path ends like this with 503; none for "".
func (l *link) failOn(suffix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = func(path string) bool { return suffix != "" && strings.HasSuffix(path, suffix) }
}

// waitFailed waits for the first request that one of the links has failed.
func waitFailed(t testing.TB, first, second *link) {
	select {
	case <-first.seen:
	case <-second.seen:
	case <-time.After(10 * time.Second):
		require.Fail(t, "no request to fail came")
	}
}
