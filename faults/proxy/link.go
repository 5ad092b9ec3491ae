package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"squall/faults"
)

// link is one proxied edge: a listener, its connections and its stages.
type link struct {
	name, protocol, edge string
	service              string // the edge between services, where edge is between instances of them
	opts                 Options
	wire                 *wireHub
	tallies              *tallies

	mu       sync.Mutex // guards what follows
	listen   string     // real address once listened
	upstream string
	enabled  bool
	closed   bool
	listener *net.TCPListener
	hold     *portHold
	conns    map[*conn]struct{}

	setting atomic.Pointer[setting]
	wake    chan struct{} // cap 1: leases changed

	connections, requests atomic.Uint64
	bytesUp, bytesDown    atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newLink listens, unless cfg is disabled. The link lives until close.
func newLink(cfg Proxy, opts Options, wire *wireHub, tallies *tallies) (*link, error) {
	l := &link{
		name: cfg.Name, protocol: cfg.Protocol, edge: cfg.Edge, service: cfg.Service, opts: opts, wire: wire, tallies: tallies,
		listen: cfg.Listen, upstream: cfg.Upstream, enabled: cfg.Enabled,
		conns: map[*conn]struct{}{}, wake: make(chan struct{}, 1),
	}
	l.setting.Store(&setting{changed: make(chan struct{})})
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.syncListener(); err != nil {
		l.cancel()
		return nil, err
	}
	l.wg.Go(l.keep)
	return l, nil
}

func (l *link) current() *setting { return l.setting.Load() }

func (l *link) upstreamAddr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.upstream
}

// close ends the link and all its connections.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.cancel()
	l.closeListener()
	l.letGo()
	l.mu.Unlock()
	for _, c := range l.live() {
		c.finish()
	}
	l.wg.Wait()
	for _, st := range l.current().stages {
		closeTables(st.endPackets()) // fails for a socket that is closed already
		l.tallies.leave(l, st)
	}
}

// called tells whether that is the link's name as an edge, between instances or
// between services; "orders-1 -> payments" is a mixture.
func (l *link) called(edge string) bool {
	caller, callee, _ := strings.Cut(edge, " -> ")
	one, other, _ := strings.Cut(l.edge, " -> ")
	oneService, otherService, _ := strings.Cut(l.service, " -> ")
	return (caller == one || caller == oneService) && (callee == other || callee == otherService)
}

// syncListener opens or closes the listener as the setting wants. l.mu is held.
func (l *link) syncListener() error {
	want := l.enabled && !l.closed && l.current().refuse == nil
	if !want {
		l.closeListener()
		return nil
	}
	if l.listener != nil {
		return nil
	}
	nl, err := net.Listen("tcp", l.listen)
	if err != nil {
		return fmt.Errorf("listen for proxy %s: %w", l.name, err)
	}
	l.listener = nl.(*net.TCPListener)
	l.listen = nl.Addr().String()
	l.wg.Go(func() { l.accept(nl.(*net.TCPListener)) })
	return nil
}

// closeListener closes the listener but keeps its port, so that nobody else
// is given it while the edge refuses connections. l.mu is held.
func (l *link) closeListener() {
	if l.listener == nil {
		return
	}
	l.listener.Close()
	l.listener = nil
	if l.hold == nil {
		l.hold = holdPort(l.listen)
	}
}

// letGo gives the port up, once: the descriptor may be somebody else's by now. l.mu is held.
func (l *link) letGo() {
	l.hold.release()
	l.hold = nil
}

func (l *link) accept(nl *net.TCPListener) {
	for {
		nc, err := nl.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or the caller left already
			select {
			case <-time.After(10 * time.Millisecond):
			case <-l.ctx.Done():
			}
			continue
		}
		l.admit(nl, nc)
	}
}

// admit starts serving a connection that nl accepted.
func (l *link) admit(nl *net.TCPListener, nc *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nl { // closed meanwhile
		nc.SetLinger(0)
		nc.Close()
		if st := l.current().refuse; st != nil {
			st.hit(1)
		}
		return
	}
	c := newConn(l, l.connections.Add(1), nc)
	l.conns[c] = struct{}{}
	for _, st := range l.current().awake {
		c.enrol(st)
	}
	l.wg.Go(func() {
		c.serve(l.ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	})
}

// live returns the connections of this moment.
func (l *link) live() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

// configure changes what Toxiproxy's API may change of a proxy. Connections
// are cut when it is disabled or goes elsewhere from now on.
func (l *link) configure(listen, upstream string, enabled bool) error {
	l.mu.Lock()
	if listen != l.listen && len(l.current().packets) > 0 {
		l.mu.Unlock()
		return &apiError{"packets of this proxy are being lost: it cannot listen elsewhere now", http.StatusConflict}
	}
	moved := listen != l.listen || upstream != l.upstream
	if listen != l.listen {
		l.closeListener()
		l.letGo()
	}
	l.listen, l.upstream, l.enabled = listen, upstream, enabled
	err := l.syncListener()
	l.mu.Unlock()
	if moved || !enabled {
		for _, c := range l.live() {
			c.reset()
		}
	}
	return err
}

// log writes an exchange that has ended to the wire log, and tells the stages
// that wait for such a thing.
func (l *link) log(e *Exchange) {
	l.tallies.notice(event{l, e.Method, e.Path, e.Status, e.Code, e.Error})
	l.wire.publish(e)
}

// config describes the link as the API shows it.
func (l *link) config() Proxy {
	l.mu.Lock()
	p := Proxy{
		Name: l.name, Listen: l.listen, Upstream: l.upstream, Enabled: l.enabled,
		Protocol: l.protocol, Edge: l.edge, Service: l.service, Toxics: []faults.Toxic{},
	}
	l.mu.Unlock()
	for _, st := range l.current().stages {
		if st.Owner == toxiproxyOwner {
			p.Toxics = append(p.Toxics, st.shown())
		}
	}
	return p
}
