package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server shows the pages of several runs on this machine: /NAME/ is the page of
// a run, / leads to the newest.
type Server struct {
	http *http.Server
	addr string
	done chan error

	mu     sync.Mutex
	pages  map[string]*Page
	newest string
}

// Serve listens at an address of this machine, such as 127.0.0.1:0.
func Serve(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("live: %s is not an address of this machine alone: want one such as 127.0.0.1:0", addr), l.Close())
	}
	s := &Server{addr: l.Addr().String(), pages: map[string]*Page{}, done: make(chan error, 1)}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() { s.done <- s.http.Serve(l) }() // ended by Close
	return s, nil
}

// URL to open in a browser.
func (s *Server) URL() string { return "http://" + s.addr + "/" }

// Add shows a page under a name, and leads newcomers to it.
func (s *Server) Add(name string, p *Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[name], s.newest = p, name
}

// ServeHTTP answers only those who asked for this very address, so that no page
// of another site can read a run by a name that it points here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, port, _ := net.SplitHostPort(s.addr)
	if r.Host != s.addr && r.Host != "localhost:"+port {
		http.Error(w, "not the host of this page", http.StatusMisdirectedRequest)
		return
	}
	s.mu.Lock()
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	page, newest := s.pages[name], s.newest
	s.mu.Unlock()
	switch {
	case page != nil:
		http.StripPrefix("/"+name, page).ServeHTTP(w, r)
	case name == "" && rest == "" && newest != "":
		http.Redirect(w, r, "/"+newest+"/", http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}

// Close ends all pages and the server; it waits a second or two at most.
func (s *Server) Close() error {
	s.mu.Lock()
	pages := make([]*Page, 0, len(s.pages))
	for _, p := range s.pages {
		pages = append(pages, p)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range pages {
		wg.Go(p.Close)
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("live: %w", err)
	}
	return nil
}
