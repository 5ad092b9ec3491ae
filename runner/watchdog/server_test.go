package watchdog

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serveOnce runs a watchdog that cannot revert anything. ended gives what Serve returned.
func serveOnce(t *testing.T, cfg Config) (url string, ended chan error, said *[]string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	said = new([]string)
	cfg.Token, cfg.Once = "secret", true
	cfg.Say = func(line string) { *said = append(*said, line) }
	cfg.Revert = func(context.Context, string, string, func(string)) error { return errors.New("unreachable") }
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	over := make(chan struct{})
	go func() { ended <- Serve(ctx, l, cfg); close(over) }()
	t.Cleanup(func() { cancel(); <-over })
	return "http://" + l.Addr().String(), ended, said
}

func ends(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		assert.NoError(t, err)
	case <-time.After(30 * time.Second):
		assert.Fail(t, "it goes on")
	}
}

// A runner that is killed before its first call leaves no watchdog behind.
func TestOnceEndsWithoutAnOwner(t *testing.T) {
	_, ended, _ := serveOnce(t, Config{Dir: t.TempDir(), FirstLease: 10 * time.Millisecond})
	ends(t, ended)
}

// Where the journal was removed there is nothing to try again with.
func TestOnceEndsWithoutItsJournal(t *testing.T) {
	dir := t.TempDir()
	url, ended, said := serveOnce(t, Config{Dir: dir})
	lease := func(ttl string) {
		req, err := http.NewRequest("POST", url+"/v1/owners/runner/lease", strings.NewReader(`{"ttl": `+ttl+`}`))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer secret")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	lease("60000000000")
	require.NoError(t, os.Remove(filepath.Join(dir, "runner.ndjson")))
	lease("1")
	ends(t, ended)
	assert.Contains(t, strings.Join(*said, "\n"), "somebody removed "+filepath.Join(dir, "runner.ndjson"))
}
