// Package watchdog reverts faults on things that cannot heal themselves, such
// as stock Toxiproxy servers and command hooks, when their runner falls silent.
//
// It keeps a copy of each runner's undo journal, which it is given line by line
// before the runner acts, and reverts what that leaves open once the runner has
// not renewed its lease. The copies are on disk: a watchdog that was killed goes
// on where it was.
//
//	POST   /v1/owners/{owner}/lease  {"ttl": nanoseconds}: take an owner in, or renew it
//	POST   /v1/owners/{owner}/lines  one line of an undo journal; answers once it is on disk
//	GET    /v1/owners                {owner: what is open}
//	DELETE /v1/owners/{owner}        done; 409 while something is open
//
// Every call but GET /version shows a bearer token.
package watchdog

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"squall/runner/inject"
)

// Config says how a watchdog works.
type Config struct {
	Dir    string // of the journals
	Token  string // that callers show
	Revert func(ctx context.Context, owner, journal string, say func(string)) error
	Say    func(string) // what it did, a line each
	// Once ends the watchdog when it has had an owner and has none any more, or
	// when none has come within the first lease.
	Once       bool
	FirstLease time.Duration // of who has not renewed yet; 10 s
}

// Times of the watchdog.
const (
	lookEvery  = 100 * time.Millisecond
	retryEvery = time.Second
	firstLease = 10 * time.Second
	maxBody    = 1 << 20
)

type server struct {
	Config
	mu     sync.Mutex
	owners map[string]*owner
	had    bool
	ended  chan struct{} // closed when Once is over
}

// owner is one runner; its mutex is held while its journal is written or reverted.
type owner struct {
	mu      sync.Mutex
	path    string
	journal *inject.Journal
	expires time.Time
	over    bool
}

// Serve answers until ctx ends or, with Once, nobody is left to guard. What is
// open then stays on disk, for the next watchdog or squall heal.
func Serve(ctx context.Context, l net.Listener, cfg Config) error {
	cfg.FirstLease = cmp.Or(cfg.FirstLease, firstLease)
	s := &server{Config: cfg, owners: map[string]*owner{}, ended: make(chan struct{})}
	if err := s.load(); err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case <-s.ended:
	case err = <-served:
	}
	cancel()
	watching.Wait()
	end, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = srv.Shutdown(end)
	return err
}

// load takes in the journals that an earlier watchdog left.
func (s *server) load() error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(s.Dir, "*.ndjson"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		name, err := url.PathUnescape(strings.TrimSuffix(filepath.Base(path), ".ndjson"))
		if err != nil {
			continue
		}
		if _, err := s.take(name); err != nil {
			return err
		}
	}
	return nil
}

// take returns an owner, new or known.
func (s *server) take(name string) (*owner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners[name]; o != nil {
		return o, nil
	}
	o := &owner{path: filepath.Join(s.Dir, url.PathEscape(name)+".ndjson"), expires: time.Now().Add(s.FirstLease)}
	var err error
	if o.journal, err = inject.OpenJournal(o.path); err != nil {
		return nil, err
	}
	s.owners[name], s.had = o, true
	return o, nil
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"watchdog": "1"}, nil) })
	mux.HandleFunc("POST /v1/owners/{owner}/lease", s.renew)
	mux.HandleFunc("POST /v1/owners/{owner}/lines", s.note)
	mux.HandleFunc("DELETE /v1/owners/{owner}", s.done)
	mux.HandleFunc("GET /v1/owners", s.list)
	want := []byte("Bearer " + s.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

type renewal struct {
	TTL time.Duration `json:"ttl"` // nanoseconds
}

func (s *server) renew(w http.ResponseWriter, r *http.Request) {
	var body renewal
	err := json.NewDecoder(r.Body).Decode(&body)
	if err == nil && body.TTL <= 0 {
		err = errors.New("ttl wants more than 0")
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	o, err := s.take(r.PathValue("owner"))
	if err == nil {
		s.mu.Lock()
		o.expires = time.Now().Add(body.TTL)
		s.mu.Unlock()
	}
	answer(w, nil, err)
}

func (s *server) note(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	o := s.owners[r.PathValue("owner")]
	s.mu.Unlock()
	if o == nil {
		answer(w, nil, fmt.Errorf("owner %s has no lease: it was silent for too long, and what it did is reverted", r.PathValue("owner")))
		return
	}
	var line inject.Line
	err := json.NewDecoder(r.Body).Decode(&line)
	if err == nil {
		o.mu.Lock()
		if err = errors.New("its lease is over"); !o.over {
			err = o.journal.Append(line)
		}
		o.mu.Unlock()
	}
	answer(w, nil, err)
}

func (s *server) done(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("owner")
	s.mu.Lock()
	o := s.owners[name]
	s.mu.Unlock()
	if o == nil {
		answer(w, nil, nil)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	open, err := inject.ReadJournal(o.path)
	if err == nil && len(open) > 0 {
		err = fmt.Errorf("%d faults of %s are not undone", len(open), name)
	}
	if err == nil {
		err = s.forget(name, o)
	}
	answer(w, nil, err)
}

// forget removes an owner with its journal; o.mu is held.
func (s *server) forget(name string, o *owner) error {
	o.over = true
	err := errors.Join(o.journal.Close(), os.Remove(o.path))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners[name] == o {
		delete(s.owners, name)
	}
	return err
}

func (s *server) list(w http.ResponseWriter, _ *http.Request) {
	out := map[string]int{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, o := range s.owners {
		open, _ := inject.ReadJournal(o.path) // what cannot be read now is reverted later, or said then
		out[name] = len(open)
	}
	answer(w, out, nil)
}

// watch reverts what silent owners left, until ctx ends.
func (s *server) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for name, o := range s.silent() {
			s.revert(ctx, name, o)
		}
		s.mu.Lock()
		if s.Once && len(s.owners) == 0 && (s.had || time.Since(began) > s.FirstLease) {
			close(s.ended)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

func (s *server) silent() map[string]*owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]*owner{}
	for name, o := range s.owners {
		if time.Now().After(o.expires) {
			out[name] = o
		}
	}
	return out
}

// revert undoes what an owner left; where that fails it is tried again, unless
// somebody has removed the journal.
func (s *server) revert(ctx context.Context, name string, o *owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	s.Say(name + " is silent: reverting what it left")
	if _, err := os.Stat(o.path); errors.Is(err, os.ErrNotExist) {
		s.Say(fmt.Sprintf("%s: somebody removed %s: what it left can only be undone by hand", name, o.path))
		_ = s.forget(name, o) // the file is gone already
		return
	}
	err := s.Revert(ctx, name, o.path, s.Say)
	if err == nil {
		err = s.forget(name, o)
	}
	if err != nil {
		s.Say(fmt.Sprintf("%s: %v; trying again", name, err))
		s.mu.Lock()
		o.expires = time.Now().Add(retryEvery)
		s.mu.Unlock()
	}
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		body = map[string]string{"error": err.Error()}
	}
	if body == nil {
		_, _ = io.WriteString(w, "{}")
		return
	}
	_ = json.NewEncoder(w).Encode(body) // fails only when the caller has left
}
