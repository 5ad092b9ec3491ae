package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"squall/faults"
)

// link is one proxied edge: a listener, its connections and its stages.
type link struct {
	name, protocol, edge string
	opts                 Options
	wire                 *wireHub

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
func newLink(cfg Proxy, opts Options, wire *wireHub) (*link, error) {
	l := &link{
		name: cfg.Name, protocol: cfg.Protocol, edge: cfg.Edge, opts: opts, wire: wire,
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
	l.wg.Go(l.expireLeases)
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
	l.hold.release()
	l.mu.Unlock()
	for _, c := range l.live() {
		c.finish()
	}
	l.wg.Wait()
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
		return
	}
	c := newConn(l, l.connections.Add(1), nc)
	l.conns[c] = struct{}{}
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
	moved := listen != l.listen || upstream != l.upstream
	if listen != l.listen {
		l.closeListener()
		l.hold.release()
		l.hold = nil
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

// put adds or replaces a stage and waits, bounded, for live connections.
func (l *link) put(ctx context.Context, id string, s faults.Stage) (faults.StageStatus, error) {
	st, err := newStage(id, s, l.protocol)
	if err != nil {
		return faults.StageStatus{}, badRequest(err)
	}
	err = l.change(ctx, func(stages []*stage) []*stage {
		if i := slices.IndexFunc(stages, hasID(id)); i >= 0 {
			stages[i] = st
			return stages
		}
		return append(stages, st)
	})
	if err != nil {
		return faults.StageStatus{}, err
	}
	return l.statusOf(st), nil
}

// remove removes the stages that match, waits as put does, and says how many.
func (l *link) remove(ctx context.Context, match func(*stage) bool) (n int, err error) {
	if !slices.ContainsFunc(l.current().stages, match) {
		return 0, nil
	}
	err = l.change(ctx, func(stages []*stage) []*stage {
		kept := slices.DeleteFunc(slices.Clone(stages), match)
		n = len(stages) - len(kept)
		return kept
	})
	return n, err
}

func hasID(id string) func(*stage) bool     { return func(s *stage) bool { return s.id == id } }
func ownedBy(name string) func(*stage) bool { return func(s *stage) bool { return s.Owner == name } }

// change replaces the setting and waits until live connections have switched,
// or for the switch timeout, whichever comes first.
func (l *link) change(ctx context.Context, edit func([]*stage) []*stage) error {
	l.mu.Lock()
	old := l.current()
	next := newSetting(old, edit(slices.Clone(old.stages)))
	l.setting.Store(next)
	close(old.changed)
	for _, st := range old.stages {
		if !slices.Contains(next.stages, st) {
			close(st.removed)
		}
	}
	err := l.syncListener()
	l.mu.Unlock()

	l.wakeLeases()
	l.bite(old, next)
	if next.gen != old.gen {
		for _, c := range l.live() {
			c.kick()
		}
		l.waitSwitched(ctx, next.gen)
	}
	return err
}

// bite cuts live connections where a stage that just came wants that.
func (l *link) bite(old, next *setting) {
	for _, st := range []*stage{next.refuse, next.reset} {
		if st == nil || slices.Contains(old.stages, st) {
			continue
		}
		for _, c := range l.live() {
			c.strike(st)
		}
	}
	if next.refuse != nil && next.refuse != old.refuse {
		l.canary(next.refuse)
	}
}

// canary dials the edge once: with no live connection to cut, this is the
// only proof that connections are refused. It is not counted as a hit.
func (l *link) canary(st *stage) {
	l.mu.Lock()
	addr := l.listen
	l.mu.Unlock()
	nc, err := net.DialTimeout("tcp", addr, time.Second)
	note := fmt.Sprintf("canary dial: %v", err)
	switch {
	case err == nil:
		nc.Close()
		note = "canary dial was accepted"
	case errors.Is(err, syscall.ECONNREFUSED):
		note = "canary dial refused"
	}
	st.canary.Store(&note)
}

// waitSwitched polls: the wait is rare and short, and a counter shared by all
// connections would cost every read something.
func (l *link) waitSwitched(ctx context.Context, gen uint64) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.SwitchTimeout)
	defer cancel()
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if _, pending := l.switched(gen); pending == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// switched counts the live connections under generation gen and those not yet.
func (l *link) switched(gen uint64) (applied, pending int) {
	for _, c := range l.live() {
		if c.reads(gen) {
			applied++
		} else {
			pending++
		}
	}
	return applied, pending
}

// status returns faults.ErrNoStage when there is none of that id.
func (l *link) status(id string) (faults.StageStatus, error) {
	stages := l.current().stages
	i := slices.IndexFunc(stages, hasID(id))
	if i < 0 {
		return faults.StageStatus{}, fmt.Errorf("proxy %s: stage %s: %w", l.name, id, faults.ErrNoStage)
	}
	return l.statusOf(stages[i]), nil
}

func (l *link) statusOf(st *stage) faults.StageStatus {
	out := faults.StageStatus{ID: st.id, Proxy: l.name, Stage: st.Stage, Receipt: st.receipt()}
	out.Applied, out.Pending = l.switched(l.current().gen)
	l.mu.Lock()
	defer l.mu.Unlock()
	out.Expires = st.expires
	return out
}

// config describes the link as the API shows it.
func (l *link) config() Proxy {
	l.mu.Lock()
	p := Proxy{
		Name: l.name, Listen: l.listen, Upstream: l.upstream, Enabled: l.enabled,
		Protocol: l.protocol, Edge: l.edge, Toxics: []faults.Toxic{},
	}
	l.mu.Unlock()
	for _, st := range l.current().stages {
		if st.Owner == toxiproxyOwner {
			p.Toxics = append(p.Toxics, st.shown())
		}
	}
	return p
}
