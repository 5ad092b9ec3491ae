package gameday

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

//go:embed page
var page embed.FS

// Bounds on what strangers may cost us.
const (
	maxBody     = 8 << 10
	maxHeader   = 8 << 10
	maxClients  = 64 // connections at once
	maxStreams  = 48 // of those, that follow: whoever acts finds a place
	maxSessions = 256
	headerTime  = 2 * time.Second
	readTime    = 5 * time.Second
	writeTime   = 5 * time.Second // of each write, also of a stream
	readWithin  = 3 * time.Second // the report, once the day is over
)

// ServerConfig is one live page.
type ServerConfig struct {
	Operator string // token of those who may act
	Observer string // token of those who may look
	Hosts    []string
	Secure   bool                // it is reached by TLS
	Say      func(Command) error // nil: nobody can act, as in a replay
	Day      any                 // what the page is told of the day, as JSON
	Events   http.Handler        // the stream of the record
	Files    map[string]func() ([]byte, string, error)
}

// Token draws a token that nobody guesses.
func Token() string { return rand.Text() + rand.Text() }

type role int

const (
	nobody role = iota
	observer
	operator
)

// Server is the live page behind its guard.
type Server struct {
	cfg  ServerConfig
	http *http.Server

	mu       sync.Mutex
	sessions map[string]role
	streams  int
	followed int           // pages that are there, and have not read the report
	left     chan struct{} // told when that changes
}

// report is the file that a page becomes when the day is over.
const report = "report.html"

// NewServer makes a server; Serve starts it.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, sessions: map[string]role{}, left: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	for _, name := range []string{"page.html", "page.js", "page.css"} {
		at := "GET /" + name
		if name == "page.html" {
			at = "GET /{$}"
		}
		mux.HandleFunc(at, s.asset(name))
	}
	mux.HandleFunc("POST /login", s.login)
	mux.Handle("GET /day", s.needs(observer, http.HandlerFunc(s.day)))
	mux.Handle("GET /events", s.needs(observer, http.HandlerFunc(s.events)))
	mux.Handle("GET /files/{name...}", s.needs(observer, http.HandlerFunc(s.file)))
	mux.Handle("POST /command", s.needs(operator, http.HandlerFunc(s.command)))
	s.http = &http.Server{
		Handler:           s.guard(mux),
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       log.New(io.Discard, "", 0), // requests are nobody's business, and may hold a token
	}
	return s
}

// Serve serves until Close. Off loopback it refuses to without TLS.
func (s *Server) Serve(l net.Listener, certs *tls.Config) error {
	if addr, ok := l.Addr().(*net.TCPAddr); certs == nil && (!ok || !addr.IP.IsLoopback()) {
		return fmt.Errorf("live page on %s: other addresses than loopback need TLS", l.Addr())
	}
	l = netutil.LimitListener(l, maxClients)
	if certs != nil {
		l = tls.NewListener(l, certs)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all requests, once the pages that are there have read the report, or
// had a moment to.
func (s *Server) Close() error {
	patience := time.After(readWithin)
	for s.unread() {
		select {
		case <-s.left:
			continue
		case <-patience:
		}
		break
	}
	return s.http.Close()
}

func (s *Server) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed > 0
}

// events is the stream of the record; who is there when it ends wants the report.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.stream(+1) {
		http.Error(w, "too many follow already", http.StatusServiceUnavailable)
		return
	}
	defer s.stream(-1)
	if s.cfg.Say == nil { // a replay's page stays
		s.cfg.Events.ServeHTTP(w, r)
		return
	}
	s.follow(+1)
	s.cfg.Events.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		s.follow(-1)
	}
}

// stream counts those who follow; one that is too many it does not.
func (s *Server) stream(more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams+more > maxStreams {
		return false
	}
	s.streams += more
	return true
}

// follow counts the pages that are there, and have not read the report.
func (s *Server) follow(more int) {
	s.mu.Lock()
	s.followed = max(0, s.followed+more)
	s.mu.Unlock()
	select {
	case s.left <- struct{}{}:
	default: // Close has yet to look for another
	}
}

// guard refuses what no page of ours sends, before anything looks at it.
func (s *Server) guard(next http.Handler) http.Handler {
	var origin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		refuse := func(code int, why string) { http.Error(w, why, code) }
		switch err := origin.Check(r); {
		case !s.ours(r.Host):
			refuse(http.StatusMisdirectedRequest, "unknown host") // a name that was bound to our address
		case err != nil:
			refuse(http.StatusForbidden, "cross-site request")
		case s.holdsToken(r.URL.RequestURI()):
			refuse(http.StatusBadRequest, "a token does not belong in a URL: it is in logs now, and counts as known")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(&slow{ResponseWriter: w, control: http.NewResponseController(w)}, r)
		}
	})
}

func (s *Server) ours(host string) bool {
	for _, h := range s.cfg.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

func (s *Server) holdsToken(uri string) bool {
	return strings.Contains(uri, s.cfg.Operator) || strings.Contains(uri, s.cfg.Observer) || strings.Contains(uri, "token=")
}

// slow gives a client so long for each write and no longer.
type slow struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (s *slow) Write(p []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return s.ResponseWriter.Write(p)
}

func (s *slow) Flush() { _ = s.control.Flush() }

// Unwrap is for http.ResponseController.
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *Server) of(token string) role {
	switch {
	case same(token, s.cfg.Operator) && s.cfg.Say != nil:
		return operator
	case same(token, s.cfg.Observer), same(token, s.cfg.Operator):
		return observer
	}
	return nobody
}

func same(a, b string) bool { return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// who is behind a request: a token as a bearer, or the session of a page.
func (s *Server) who(r *http.Request) role {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.of(token)
	}
	c, err := r.Cookie(s.cookie())
	if err != nil {
		return nobody
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[c.Value]
}

// cookie has a name of its own on each address, because ports share cookies.
func (s *Server) cookie() string {
	_, port, _ := net.SplitHostPort(s.cfg.Hosts[0])
	return "squall-" + port
}

func (s *Server) needs(least role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch have := s.who(r); {
		case have == nobody:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a token is needed", http.StatusUnauthorized)
		case have < least:
			http.Error(w, "observers may only look", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// login turns a token, which the page took out of the part of its link that
// browsers keep for themselves, into a session.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Token string }
	if !body(w, r, &in) {
		return
	}
	have := s.of(in.Token)
	if have == nobody {
		http.Error(w, "wrong token", http.StatusUnauthorized)
		return
	}
	id := Token()
	s.mu.Lock()
	if len(s.sessions) >= maxSessions {
		clear(s.sessions)
	}
	s.sessions[id] = have
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: s.cookie(), Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.cfg.Secure})
	reply(w, map[string]bool{"acts": have == operator})
}

func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	var c Command
	if !body(w, r, &c) {
		return
	}
	if err := s.cfg.Say(c); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	reply(w, map[string]bool{"ok": true})
}

func (s *Server) day(w http.ResponseWriter, r *http.Request) {
	reply(w, map[string]any{"day": s.cfg.Day, "acts": s.who(r) == operator})
}

// file serves what is named, and nothing else: names are keys, not paths.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	read, ok := s.cfg.Files[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	data, kind, err := read()
	if err != nil {
		http.Error(w, "it is not there yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox")
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	if r.Method == http.MethodGet && r.PathValue("name") == report {
		_ = http.NewResponseController(w).Flush() // all of it, before anybody closes
		s.follow(-1)
	}
}

func (s *Server) asset(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, page, "page/"+name)
	}
}

// body reads a request's JSON; what it cannot read it answers itself.
func body(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return false
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, "not what is expected", http.StatusBadRequest)
	}
	return err == nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
