package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/faults"
)

// Options are a server's limits. Zero values mean the defaults.
type Options struct {
	SwitchTimeout time.Duration // how long a change waits for live connections; 2 s
	DialTimeout   time.Duration // of upstreams; 5 s
	Token         string        // that callers of the API must show; empty: none
	Linger        time.Duration // half-closed connections that stand still end after this; 30 s
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.SwitchTimeout, 2*time.Second)
	set(&o.DialTimeout, 5*time.Second)
	set(&o.Linger, 30*time.Second)
	return o
}

// Proxy is one proxied edge as the API shows it: Toxiproxy's fields and two of ours.
type Proxy struct {
	Name     string         `json:"name"`
	Listen   string         `json:"listen"` // after creation the real address
	Upstream string         `json:"upstream"`
	Enabled  bool           `json:"enabled"`
	Protocol string         `json:"protocol,omitempty"` // http parses requests, anything else is TCP
	Edge     string         `json:"edge,omitempty"`     // "orders-1 -> payments-2"; default: the name
	Service  string         `json:"service,omitempty"`  // "orders -> payments", where edge is between instances; default: the edge
	Toxics   []faults.Toxic `json:"toxics"`             // those that came through Toxiproxy's API
}

// Server is a set of proxied edges and the HTTP API that controls them.
type Server struct {
	opts    Options
	wire    *wireHub
	tallies *tallies

	mu    sync.Mutex
	links map[string]*link
	ended bool
}

// NewServer returns a server without any edge.
func NewServer(opts Options) *Server {
	return &Server{opts: opts.withDefaults(), wire: newWireHub(), tallies: newTallies(), links: map[string]*link{}}
}

// Serve answers the API on l until ctx ends, then ends every edge and every
// connection, and returns when all is over. A server serves once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- err
	}
	s.closeLinks()
	s.wire.close() // after the last connection has been logged
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.SwitchTimeout)
	defer cancel()
	if srv.Shutdown(end) != nil {
		srv.Close()
	}
	if serr := <-served; err == nil && !errors.Is(serr, http.ErrServerClosed) {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("serve proxy api on %s: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) closeLinks() {
	s.mu.Lock()
	s.ended = true
	links := s.links
	s.links = map[string]*link{}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range links {
		wg.Go(l.close)
	}
	wg.Wait()
}

// create adds an edge and starts it unless it is disabled.
func (s *Server) create(p Proxy) (*link, error) {
	if p.Name == "" || p.Upstream == "" {
		return nil, &apiError{"missing required field: name and upstream are needed", http.StatusBadRequest}
	}
	if p.Listen == "" {
		p.Listen = "127.0.0.1:0"
	}
	if p.Edge == "" {
		p.Edge = p.Name
	}
	if p.Service == "" {
		p.Service = p.Edge
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, &apiError{"server is ending", http.StatusServiceUnavailable}
	}
	if s.links[p.Name] != nil {
		return nil, &apiError{"proxy already exists", http.StatusConflict}
	}
	l, err := newLink(p, s.opts, s.wire, s.tallies)
	if err != nil {
		return nil, err
	}
	s.links[p.Name] = l
	return l, nil
}

func (s *Server) link(name string) (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[name]; l != nil {
		return l, nil
	}
	return nil, &apiError{"proxy not found", http.StatusNotFound}
}

func (s *Server) delete(name string) error {
	l, err := s.link(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.links, name)
	s.mu.Unlock()
	l.close()
	return nil
}

// all returns the links by name.
func (s *Server) all() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	links := make([]*link, 0, len(s.links))
	for _, l := range s.links {
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b *link) int { return strings.Compare(a.name, b.name) })
	return links
}
