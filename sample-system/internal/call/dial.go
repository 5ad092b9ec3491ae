// Dialling a callee that has been away.
//
// Answers: when a callee comes back, everybody who waits dials at once, and each
// connection costs it more than a call (accept, TLS, memory). It falls over
// again, or is slow for those it had served by then. Here a gate closes at an
// address after a dial has failed: one trial at a time, the next one later; when
// a connection has proved itself by its first byte, two dials may run at once,
// then four, until the gate opens. Meanwhile the connections that are there are
// kept and carry the calls. A connection that ends without a byte is a failed
// dial as well: a proxy accepts also when there is nobody behind it.
// Numbers: dial timeout 1 s; pauses from 50 ms doubling to 500 ms with jitter,
// so that a callee that is back is noticed within half a second. The ramp takes
// six answers one after the other, after which nobody has to wait any more.
// Costs: calls in a pause fail at once, though the callee may just be back; in
// the first pause, of 50 ms, they wait, so that nobody notices a blip.
// Breaks without it: scenario instance-killed; TestNoHerdOnRecovery restarts a
// dependency under load.
// Off switch: D23. No gate, and no connection is kept: every call dials.

package call

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	dialTimeout = time.Second
	rampEnd     = 64 // dials at once at which a gate opens
	maxGates    = 64 // addresses that fail at the same time
)

var dialPause = backoff.Backoff{Base: 50 * time.Millisecond, Max: 500 * time.Millisecond}

// errGate says that an address is not dialled for the moment.
var errGate = errors.New("not dialled so soon after a failure")

// dialer opens the connections of one edge.
type dialer struct {
	net   net.Dialer
	dials prometheus.Counter
	herd  bool // D23

	mu    sync.Mutex
	gates map[string]*gate // addresses that have failed; the others are open
}

// gate is what is known of an address that has failed. Guarded by dialer.mu.
type gate struct {
	failures int // in a row
	until    time.Time
	limit    int           // dials at once
	running  int           // dials that have neither failed nor proved themselves
	changed  chan struct{} // closed at the next change
}

func newDialer(h *service.Host, edge string) *dialer {
	return &dialer{
		net:   net.Dialer{Timeout: dialTimeout},
		dials: h.Counter("http_client_dials_total", "Connections begun, by edge.", "edge").WithLabelValues(edge),
		herd:  h.Defects.Has(defect.ThunderingHerd),
		gates: map[string]*gate{},
	}
}

func (d *dialer) attach(t *http.Transport) {
	t.DialContext = d.dial
	t.DisableKeepAlives = d.herd
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.herd {
		d.dials.Inc()
		return d.net.DialContext(ctx, network, addr)
	}
	g, err := d.enter(ctx, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", addr, err)}
	}
	d.dials.Inc()
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		d.failed(addr, g)
		return nil, err
	}
	return &trial{Conn: conn, dialer: d, addr: addr, gate: g}, nil
}

// enter waits for a place at the gate of an address; nil is an open one.
func (d *dialer) enter(ctx context.Context, addr string) (*gate, error) {
	for {
		g, wait, err := d.place(addr)
		if wait == nil || err != nil {
			return g, err
		}
		pause := time.NewTimer(wait.atMost)
		select {
		case <-wait.changed:
		case <-pause.C:
		case <-unwanted(ctx):
			err = errGate // net/http may still want it, for a call that it repeats
		case <-ctx.Done():
			err = ctx.Err()
		}
		if pause.Stop(); err != nil {
			return nil, err
		}
	}
}

// place takes a place, or says when to ask again.
func (d *dialer) place(addr string) (*gate, *wait, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.gates[addr]
	if g == nil {
		return nil, nil, nil
	}
	pause := time.Until(g.until)
	switch {
	case pause > 0 && g.failures > 1:
		return nil, nil, errGate
	case pause > 0:
		return nil, &wait{g.changed, pause}, nil
	case g.running >= g.limit:
		return nil, &wait{g.changed, dialTimeout}, nil
	default:
		g.running++
		return g, nil, nil
	}
}

// wait is when to ask again for a place.
type wait struct {
	changed <-chan struct{}
	atMost  time.Duration
}

// failed closes the gate; at is the one that the dial had passed, nil for none.
func (d *dialer) failed(addr string, at *gate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.gates[addr]
	if g == nil {
		d.prune()
		g = &gate{changed: make(chan struct{})}
		d.gates[addr] = g
	}
	if at == g {
		g.running--
	} else if g.failures > 0 {
		return // begun before the gate closed: says nothing new
	}
	g.failures++
	g.limit, g.until = 1, time.Now().Add(dialPause.Delay(g.failures))
	g.change()
}

// proved opens the gate a little more.
func (d *dialer) proved(addr string, g *gate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.running--
	g.failures, g.until = 0, time.Time{}
	if g.limit *= 2; g.limit >= rampEnd && d.gates[addr] == g {
		delete(d.gates, addr)
	}
	g.change()
}

// ended gives a place back without a verdict.
func (d *dialer) ended(g *gate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.running--
	g.change()
}

func (g *gate) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// prune forgets addresses that nobody has dialled for long, such as those of
// instances that are gone for good.
func (d *dialer) prune() {
	for addr, g := range d.gates {
		if len(d.gates) >= maxGates && g.running == 0 {
			delete(d.gates, addr)
		}
	}
}

type wantedKey struct{}

// wanting marks a call's context: a dial for it need not wait at the gate any
// longer once served is called, because the call has got a connection or ended.
// (net/http lets dials go on after that.)
func wanting(ctx context.Context) (_ context.Context, served func()) {
	c := make(chan struct{})
	return context.WithValue(ctx, wantedKey{}, (<-chan struct{})(c)), sync.OnceFunc(func() { close(c) })
}

func unwanted(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(wantedKey{}).(<-chan struct{})
	return c
}
