package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// How an exchange failed, as the wire log says it.
const (
	errWordRefused    = "refused"
	errWordReset      = "reset"
	errWordTimeout    = "timeout"
	errWordCallerLeft = "caller-left"
	errWordUpstream   = "upstream-closed"
)

// errEnded says that the connection has been ended, by us or by its caller.
var errEnded = errors.New("connection ended")

// cause says why a connection was ended before its time.
type cause struct {
	word  string
	fault string // stage id
}

// conn is one connection through a link.
type conn struct {
	link *link
	id   uint64
	at   time.Time

	caller   *net.TCPConn
	upstream *net.TCPConn // nil until dialled
	up, down inlet

	mu    sync.Mutex // guards upstream, cause and the closing of done
	cause *cause
	done  chan struct{} // closed when both sockets are

	sent  atomic.Int64 // bytes written to the upstream
	out   atomic.Int64 // bytes written to the caller
	hung  atomic.Pointer[stage]
	lanes sync.WaitGroup
	half  *time.Timer  // of watchHalf; guarded by mu
	eofs  atomic.Int32 // directions that have ended in the ordinary way
	blind atomic.Bool  // its protocol cannot be followed: rules for parts of it do nothing

	choosing sync.Mutex
	choices  []*choice // by stages in force; see choice.go
}

func newConn(l *link, id uint64, caller *net.TCPConn) *conn {
	c := &conn{link: l, id: id, at: time.Now(), caller: caller, done: make(chan struct{})}
	c.up = inlet{c: c, dir: upstream}
	c.up.open(caller)
	c.down = inlet{c: c, dir: downstream}
	c.up.gen.Store(atRest)
	c.down.gen.Store(atRest)
	return c
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	switch {
	case c.chosenOf(c.link.current().reset) != nil:
		c.strike(c.chosenOf(c.link.current().reset))
		c.log(errWordReset)
	case !c.holdNew(), c.serveTLS(ctx): // nothing is left to do
	case c.link.protocol == ProtocolHTTP:
		newHTTPConn(c).serve(ctx)
	case c.link.protocol == ProtocolGRPC:
		if word, alone := c.serveGRPC(ctx); alone {
			c.log(word)
		}
	case c.link.protocol == ProtocolNATS:
		c.log((&natsConn{conn: c}).serve(ctx))
	case c.link.protocol == ProtocolPostgres:
		c.log(newPGConn(c).serve(ctx))
	default:
		c.log(c.tunnel(ctx, nil))
	}
	c.finish()
	c.lanes.Wait()
	c.up.close()
	c.down.close()
}

// dial connects the upstream, once no stage hangs the edge.
func (c *conn) dial(ctx context.Context) error {
	if err := c.pass(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.link.opts.DialTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.link.upstreamAddr())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		nc.Close()
		return errEnded
	}
	c.upstream = nc.(*net.TCPConn)
	c.down.open(c.upstream)
	return nil
}

// dialWord says in the wire log's words how a dial failed.
func dialWord(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errWordRefused
	}
	return errWordTimeout
}

// pass waits while a stage hangs the edge. It fails when the connection ended;
// a caller that leaves meanwhile ends it.
func (c *conn) pass() error {
	for {
		s := c.link.current()
		st := c.chosenOf(s.hang)
		if st == nil {
			return nil
		}
		if c.hung.Swap(st) != st {
			st.hit(1)
		}
		if !c.wait(s.changed, 0) {
			c.end(&cause{errWordTimeout, st.id}, true)
			return errEnded
		}
	}
}

// holdEnd keeps the end of a side back while a stage hangs the edge: what passes
// nothing passes no end either.
func (c *conn) holdEnd() {
	select {
	case <-c.done: // we ended it
	default:
		_ = c.pass() // where the connection ends meanwhile, there is nothing left to pass
	}
}

// hangs tells whether nothing may pass now.
func (c *conn) hangs() bool { return c.chosenOf(c.link.current().hang) != nil }

// wait waits for ready, or for d if that is positive. It is false when the
// connection ended or the caller left. Nothing is read from the caller, so
// the kernel is asked, every 50 ms.
func (c *conn) wait(ready <-chan struct{}, d time.Duration) bool {
	var elapsed <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		elapsed = t.C
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ready:
			return true
		case <-elapsed:
			return true
		case <-c.done:
			return false
		case <-look.C:
			if peerGone(c.caller) {
				return false
			}
		}
	}
}

// strike ends the connection with RST on behalf of a stage and counts it.
func (c *conn) strike(s *stage) { c.strikeAs(s, errWordReset) }

// strikeAs does so with RST for the word reset, else in the ordinary way.
func (c *conn) strikeAs(s *stage, word string) {
	c.endBy(s, &cause{word, s.id}, word == errWordReset)
}

// reset ends the connection with RST on both sides.
func (c *conn) reset() { c.end(nil, true) }

// finish ends the connection in the ordinary way.
func (c *conn) finish() { c.end(nil, false) }

// end closes both sockets. It is false when they were closed before; the
// first cause stands.
func (c *conn) end(why *cause, rst bool) bool { return c.endBy(nil, why, rst) }

// endBy counts a hit of the stage, if there is one, before anybody can see it:
// a receipt that is read at that moment has it.
func (c *conn) endBy(s *stage, why *cause, rst bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		return false
	}
	if c.half != nil {
		c.half.Stop()
	}
	c.cause = why
	if s != nil {
		s.hit(1)
	}
	for _, nc := range []*net.TCPConn{c.caller, c.upstream} {
		if nc == nil {
			continue
		}
		if rst {
			nc.SetLinger(0)
		}
		nc.Close()
	}
	close(c.done)
	return true
}

// over tells whether the connection has been ended.
func (c *conn) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// why refines the word for a failure: what ended the connection first is
// what its exchanges failed of. The second result is the stage behind it.
func (c *conn) why(word string) (string, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fault := c.toxicFault()
	if word == "" || c.cause == nil {
		return word, fault
	}
	if c.cause.fault != "" {
		fault = c.cause.fault
	}
	return c.cause.word, fault
}

// toxicFault names the stage whose toxics act on the connection now.
func (c *conn) toxicFault() string {
	for _, i := range []*inlet{&c.down, &c.up} {
		if s := i.fault.Load(); s != nil {
			return s.id
		}
	}
	return ""
}

// kick makes both directions look at the setting again.
func (c *conn) kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up.kick()
	if c.upstream != nil {
		c.down.kick()
	}
}

// reads tells whether both directions read under generation gen or later.
func (c *conn) reads(gen uint64) bool { return c.up.reads(gen) && c.down.reads(gen) }

// log writes the connection as a whole to the wire log; TCP edges have no requests.
func (c *conn) log(word string) {
	e := Exchange{
		At: c.at.UnixNano(), Dur: int64(time.Since(c.at)),
		Edge: c.link.edge, Conn: c.id, N: c.link.requests.Add(1),
		In: c.sent.Load(), Out: c.out.Load(),
	}
	e.Error, e.Fault = c.why(word)
	e.Sent = e.Error == "" || e.In > 0
	e.Acts = c.acts()
	c.link.log(&e)
}

// outlet writes to one socket of a connection, unless the edge hangs.
type outlet struct {
	c     *conn
	in    *inlet // what it writes came from there
	dst   *net.TCPConn
	count *atomic.Int64
	bytes *atomic.Int64 // of the link
}

func (c *conn) toUpstream() *outlet {
	return &outlet{c, &c.up, c.upstream, &c.sent, &c.link.bytesUp}
}

func (c *conn) toCaller() *outlet {
	return &outlet{c, &c.down, c.caller, &c.out, &c.link.bytesDown}
}

func (o *outlet) Write(p []byte) (int, error) {
	if o.c.hangs() {
		o.in.hung.Store(true)
		err := o.c.pass()
		o.in.hung.Store(false)
		if err != nil {
			return 0, err
		}
	}
	n, err := o.dst.Write(p)
	o.moved(int64(n))
	return n, err
}

func (o *outlet) moved(n int64) {
	o.count.Add(n)
	o.bytes.Add(n)
}
