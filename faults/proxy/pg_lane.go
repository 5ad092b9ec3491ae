package proxy

import (
	"errors"
	"io"
	"math"
)

// pgSeen bounds the bytes of a message that are looked at.
const pgSeen = 1 << 10

// pgLane pumps one direction.
type pgLane struct {
	p    *pgConn
	in   io.Reader
	out  io.Writer
	down bool // from the server to the caller

	window
	rest int // bytes of the message under way
}

func newPGLane(p *pgConn, in io.Reader, out io.Writer, down bool) *pgLane {
	return &pgLane{p: p, in: in, out: out, down: down, window: newWindow()}
}

// pump moves bytes until the end of the direction. broken says that the other
// side failed.
func (l *pgLane) pump() (err error, broken bool) {
	for {
		rerr := l.read(l.in)
		if err, broken := l.pass(); err != nil {
			return err, broken
		}
		if rerr == nil {
			continue
		}
		if err := l.write(&l.at, l.end); err != nil { // part of a head
			return err, true
		}
		return rerr, false
	}
}

// pass deals with what has been read.
func (l *pgLane) pass() (err error, broken bool) {
	from := l.at // buf[from:at] is to pass
	for l.at < l.end {
		if l.rest > 0 {
			n := min(l.rest, l.end-l.at)
			l.at, l.rest = l.at+n, l.rest-n
			continue
		}
		if l.down && l.p.q.holds() != nil {
			if err := l.write(&from, l.at); err != nil {
				return err, true
			}
			if err := l.p.held(); err != nil {
				return err, false
			}
		}
		switch err := l.next(); {
		case errors.Is(err, errPGMore):
			return l.write(&from, l.at), true
		case err != nil:
			l.p.blind.Store(true)
			l.rest = math.MaxInt
		}
	}
	return l.write(&from, l.at), true
}

// next looks at the message that comes next.
func (l *pgLane) next() (err error) {
	if l.p.blind.Load() {
		return errNotPG
	}
	look := l.p.fromCaller
	if l.down {
		look = l.p.fromServer
	}
	l.rest, l.want, err = look(l.buf[l.at:l.end])
	return err
}

func (l *pgLane) write(from *int, to int) error {
	p := l.buf[*from:to]
	*from = to
	if len(p) == 0 {
		return nil
	}
	_, err := l.out.Write(p)
	return err
}
