package proxy

import (
	"context"
	"sync/atomic"
)

// ProtocolPostgres is the protocol of an edge whose queries are looked at.
const ProtocolPostgres = "postgres"

// pgConn pumps the PostgreSQL protocol, version 3. Bytes pass as they come and
// unchanged; what cannot be followed, such as TLS, passes as plain TCP from
// there, and the connection counts as blind.
type pgConn struct {
	*conn
	q       pgQueries
	offers  atomic.Int32  // requests for encryption, each answered by one byte
	session bool          // has begun, as far as the caller is concerned
	left    chan struct{} // closed when the caller sends no more
}

func newPGConn(c *conn) *pgConn {
	return &pgConn{conn: c, q: pgQueries{prepared: map[string]string{}}, left: make(chan struct{})}
}

// serve passes messages both ways until both sides are done, and returns the
// wire log's word for a failure.
func (p *pgConn) serve(ctx context.Context) string {
	if err := p.dial(ctx); err != nil {
		p.reset()
		return dialWord(err)
	}
	up := make(chan string, 1)
	p.lanes.Go(func() {
		err, broken := newPGLane(p, &p.up, p.toUpstream(), false).pump()
		close(p.left)
		up <- p.ended(err, broken, p.toUpstream(), errWordCallerLeft, errWordUpstream)
	})
	err, broken := newPGLane(p, &p.down, p.toCaller(), true).pump()
	down := p.ended(err, broken, p.toCaller(), errWordUpstream, errWordCallerLeft)
	if word := <-up; word != "" {
		return word
	}
	return down
}

// fromCaller says how many bytes pass of the message that b begins with, or with
// errPGMore how many it wants to see first, if it knows.
func (p *pgConn) fromCaller(b []byte) (size, want int, err error) {
	if !p.session {
		return p.opening(b)
	}
	kind, size, err := pgMessage(b)
	if err != nil {
		return 0, 0, err
	}
	if kind == 'P' || kind == 'B' || kind == 'Q' {
		if want = min(size, pgSeen); len(b) < want {
			return 0, want, errPGMore
		}
	}
	if p.q.heed(kind, b[5:max(5, min(size, len(b)))]) {
		p.q.begun(p.decide(p.link.current()))
	}
	return size, 0, nil
}

// opening looks at what comes before the session.
func (p *pgConn) opening(b []byte) (size, want int, err error) {
	size, code, err := pgFirst(b)
	switch {
	case err != nil:
	case code == pgTLS || code == pgGSS:
		p.offers.Add(1)
	case code != pgCancel:
		p.session = true
	}
	return size, 0, err
}

// fromServer is fromCaller for the other direction.
func (p *pgConn) fromServer(b []byte) (size, want int, err error) {
	if p.offers.Load() > 0 {
		switch b[0] {
		case 'S', 'G': // granted
			return 0, 0, errNotPG
		case 'N':
			p.offers.Add(-1)
			return 1, 0, nil
		}
	}
	kind, size, err := pgMessage(b)
	if err == nil && kind == 'Z' {
		p.q.ready()
	}
	return size, 0, err
}

// held waits while a stage holds the answer that comes now.
func (p *pgConn) held() error {
	for st := p.q.holds(); st != nil; st = p.q.holds() {
		select {
		case <-st.removed:
		case <-p.left:
			p.end(&cause{errWordTimeout, st.id}, false)
			return errEnded
		case <-p.done:
			return errEnded
		}
	}
	return nil
}
