package probe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults/pgtest"
	"squall/runner/probe"
)

func TestHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/large":
			_, _ = w.Write([]byte(strings.Repeat("é", 20_000)))
		case "/slow":
			<-r.Context().Done()
		default:
			w.Header().Set("X-Kind", r.Header.Get("Content-Type")+" "+r.Header.Get("X-Asks"))
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(r.Method))
		}
	}))
	defer srv.Close()
	ask := func(method, path, body string, timeout time.Duration) probe.HTTP {
		return probe.HTTP{Method: method, URL: srv.URL + path, Body: body, Header: map[string]string{"X-Asks": "me"}, Timeout: timeout}
	}

	p := ask("PUT", "/", "{}", time.Minute).Do(t.Context())
	assert.True(t, p.OK, "a 418 is an answer")
	assert.Equal(t, 418.0, p.Value)
	assert.Equal(t, "PUT", p.Text)
	assert.Equal(t, "application/json me", p.Header["X-Kind"])
	assert.Positive(t, p.Took)

	assert.Equal(t, 302.0, ask("GET", "/moved", "", time.Minute).Do(t.Context()).Value, "a redirect is the answer that it is")
	large := ask("GET", "/large", "", time.Minute).Do(t.Context()).Text
	assert.LessOrEqual(t, len(large), 16<<10+len("…"))
	assert.True(t, strings.HasSuffix(large, "é…"), "cut between characters")

	slow := ask("GET", "/slow", "", 50*time.Millisecond).Do(t.Context())
	assert.False(t, slow.OK)
	assert.Contains(t, slow.Note, "deadline exceeded")
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	sh := func(script string) probe.Command {
		return probe.Command{Run: []string{"/bin/sh", "-c", script}, Env: []string{"WORD=hello", "PATH=" + os.Getenv("PATH")}, Dir: dir, Timeout: time.Minute}
	}
	p := sh(`echo $WORD; pwd; echo oh >&2; exit 3`).Do(t.Context())
	assert.True(t, p.OK, "an exit code of 3 is an answer")
	assert.Equal(t, 3.0, p.Value)
	assert.Equal(t, "hello\n"+dir+"\noh\n", p.Text)

	missing := probe.Command{Run: []string{filepath.Join(dir, "nothing")}, Timeout: time.Minute}.Do(t.Context())
	assert.False(t, missing.OK)
	assert.Contains(t, missing.Note, "no such file")

	assert.False(t, sh(`kill -9 $$`).Do(t.Context()).OK, "a program that was killed gave no answer")
}

// What a program that is killed has started goes with it.
func TestCommandIsKilledWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := probe.Command{Run: []string{"/bin/sh", "-c", "sleep 600 & echo $! >" + file + "; wait"}, Timeout: time.Minute}.Do(ctx)
		assert.False(t, p.OK)
	}()
	var pid int
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	}, 10*time.Second, 5*time.Millisecond)
	cancel()
	<-ended
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 5*time.Millisecond)
}

// gone reports that a process has ended, though nobody may have asked how.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err == nil && strings.Contains(string(stat), ") Z ") {
		return true
	}
	return syscall.Kill(pid, 0) != nil
}

func TestSQL(t *testing.T) {
	addr := pgtest.Start(t)
	ask := func(query string, dsns ...string) probe.SQL {
		return probe.SQL{DSNs: append(dsns, pgtest.DSN(addr)), Query: query, Timeout: time.Minute}
	}
	p := ask("select n, 'x' from generate_series(41, 43) n").Do(t.Context())
	assert.True(t, p.OK, p.Note)
	assert.Equal(t, 41.0, p.Value)
	assert.Equal(t, "41", p.Text)
	assert.Equal(t, "", ask("select 1 where false").Do(t.Context()).Text, "no row")
	assert.Contains(t, ask("select nothing").Do(t.Context()).Note, "nothing")
	assert.True(t, ask("select 1", "postgres://shop@127.0.0.1:1/x?sslmode=disable").Do(t.Context()).OK, "the first that answers")
	bad := ask("select 1", "postgres://shop:secret@:x").Do(t.Context())
	assert.True(t, bad.OK)
	nobody := probe.SQL{DSNs: []string{"postgres://shop:secret@:x"}, Query: "select 1", Timeout: time.Minute}.Do(t.Context())
	assert.False(t, nobody.OK)
	assert.NotContains(t, nobody.Note, "secret")
}
