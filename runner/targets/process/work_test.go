package process

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/scenarios/spec"
)

// roleWork is a service that uses what faults take away: /burn keeps a core
// busy from now on and /turns counts what that got done, /write/NAME appends a
// byte to a file in its data folder and syncs it, /read/NAME reads it, /take/N
// keeps N more MiB of memory, /clock tells what the file of its clock holds.
func roleWork(args []string) error {
	var turns atomic.Uint64
	var taken [][]byte
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/burn", func(http.ResponseWriter, *http.Request) {
		go func() {
			for {
				turns.Add(1)
			}
		}()
	})
	mux.HandleFunc("/turns", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, turns.Load()) })
	mux.HandleFunc("/write/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, appendByte(filepath.Join(os.Getenv("DATA"), r.PathValue("name"))))
	})
	mux.HandleFunc("/read/{name}", func(w http.ResponseWriter, r *http.Request) {
		text, _ := os.ReadFile(filepath.Join(os.Getenv("DATA"), r.PathValue("name")))
		_, _ = w.Write(text)
	})
	mux.HandleFunc("/take/{mib}", func(_ http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("mib"))
		for range n {
			mib := make([]byte, 1<<20)
			for i := 0; i < len(mib); i += 4096 {
				mib[i] = 1
			}
			taken = append(taken, mib)
		}
	})
	mux.HandleFunc("/clock", func(w http.ResponseWriter, _ *http.Request) {
		text, _ := os.ReadFile(os.Getenv("CLOCK"))
		_, _ = w.Write(text)
	})
	return http.ListenAndServe(args[0], mux)
}

// appendByte says "ok" or why not.
func appendByte(name string) string {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString("x")
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// workConfig is a system of one service, which runs as two instances that share
// a data folder.
func workConfig(t *testing.T, needs ...faults.Capability) Config {
	dir := t.TempDir()
	cfg := testConfig(dir, longLease)
	cfg.Defects = nil
	work := spec.Service{
		Command: []string{os.Args[0], "work", "${self.http}"},
		Env:     map[string]string{"DATA": "${data}"}, Clock: &spec.Clock{Env: "CLOCK"},
		Ports: []string{"http"}, Port: "http", Ready: spec.Ready{HTTP: "/ready"},
		Replicas: 2,
	}
	sys := &spec.System{
		File: filepath.Join(dir, "system.yaml"), Metadata: spec.Metadata{Name: "work"},
		Spec: spec.SystemSpec{Target: "process", Services: map[string]spec.Service{"work": work}},
	}
	var problems spec.Problems
	cfg.System, problems = sys.With()
	require.Empty(t, problems)
	cfg.Needs = map[string][]faults.Capability{"work-1": needs}
	return cfg
}

// bench is that system, up.
type bench struct {
	*Environment
	t      *testing.T
	before map[string]string
	urls   map[string]string
}

func workUp(t *testing.T, needs ...faults.Capability) *bench {
	b := &bench{Environment: up(t, workConfig(t, needs...)), t: t, urls: map[string]string{}}
	for _, s := range b.Services() {
		b.urls[s.Name] = s.URL
	}
	var err error
	b.before, err = b.Snapshot(t.Context())
	require.NoError(t, err)
	return b
}

func (b *bench) ask(instance, path string) string { return get(b.t, b.urls[instance]+path) }

// try is ask for a service that may be down.
func (b *bench) try(instance, path string) (string, error) {
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(b.urls[instance] + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func (b *bench) holder(instance string) faults.Holder {
	target, err := b.Target(instance)
	require.NoError(b.t, err)
	return target.(faults.Holder)
}

func (b *bench) put(instance string, h faults.Hold) {
	b.t.Helper()
	require.NoError(b.t, b.holder(instance).PutHold(b.t.Context(), "f", h))
}

func (b *bench) status(instance string) faults.Evidence {
	b.t.Helper()
	e, err := b.holder(instance).HoldStatus(b.t.Context(), "f")
	require.NoError(b.t, err)
	return e
}

// drop deletes the hold, twice, and requires the world to be as it was.
func (b *bench) drop(instance string) {
	b.t.Helper()
	h := b.holder(instance)
	require.NoError(b.t, h.DeleteHold(b.t.Context(), "f"))
	require.NoError(b.t, h.DeleteHold(b.t.Context(), "f"))
	_, err := h.HoldStatus(b.t.Context(), "f")
	require.ErrorIs(b.t, err, faults.ErrNoHold)
	after, err := b.Snapshot(b.t.Context())
	require.NoError(b.t, err)
	require.Equal(b.t, b.before, after)
}
