package proxy

import (
	"errors"
	"io"
	"math"
	"sync"
)

// maxNATSMessage bounds the messages a rule can act on, since it needs the
// whole of each; servers take 1 MB by default. Bigger ones pass.
const maxNATSMessage = 8 << 20

// natsLane pumps one direction. Bytes pass as they come, and a message is waited
// for as a whole only where a rule may act on it.
type natsLane struct {
	n    *natsConn
	in   io.Reader
	out  io.Writer
	down bool // from the broker to the caller

	window
	rest int // bytes of the operation under way that pass as they come

	writing sync.Mutex // held while an operation is under way, by
	midway  bool       // the pump, which alone reads and writes this
	hold    natsHold
}

func newNATSLane(n *natsConn, in io.Reader, out io.Writer, down bool) *natsLane {
	return &natsLane{n: n, in: in, out: out, down: down, window: newWindow(), hold: newNATSHold()}
}

func (l *natsLane) ops() []natsOp {
	if l.down {
		return natsDown
	}
	return natsUp
}

// pump moves bytes until the end of the direction. broken says that the other
// side failed.
func (l *natsLane) pump() (err error, broken bool) {
	defer l.between()
	for {
		rerr := l.read(l.in)
		if err := l.pass(); err != nil {
			return err, true
		}
		if rerr == nil {
			continue
		}
		if err := l.write(l.buf[l.at:l.end]); err != nil { // half an operation
			return err, true
		}
		if errors.Is(rerr, io.EOF) {
			l.hold.drain(l.n.done)
		}
		return rerr, false
	}
}

// pass deals with what has been read.
func (l *natsLane) pass() error {
	from := l.at // buf[from:at] is to pass as it is
	for l.at < l.end {
		if l.rest > 0 {
			l.skip()
			continue
		}
		s := l.n.link.current() // all that is decided about one operation is by one setting
		if l.hold.some() {
			if err := l.flush(&from); err != nil {
				return err
			}
			l.release(s)
		}
		f, m, err := l.next(s)
		switch {
		case errors.Is(err, errNATSMore):
			return l.flush(&from)
		case err != nil:
			if err := l.flush(&from); err != nil {
				return err
			}
			l.giveUp()
		case m == nil:
			l.at += f.line
			l.rest = f.size() - f.line
		default:
			if err := l.flush(&from); err != nil {
				return err
			}
			if err := l.act(m, s); err != nil {
				return err
			}
			l.at += f.size()
			from = l.at
		}
	}
	return l.flush(&from)
}

// flush writes what is to pass as it is.
func (l *natsLane) flush(from *int) error {
	p := l.buf[*from:l.at]
	*from = l.at
	return l.write(p)
}

// next reads the operation that comes next. It is a message m where a rule may
// act on it, and errNATSMore then asks for the whole of it.
func (l *natsLane) next(s *setting) (f natsFrame, m *natsMessage, err error) {
	l.want = 0
	if l.n.blind.Load() {
		return f, nil, errNotNATS
	}
	p := l.buf[l.at:l.end]
	if f, err = readNATS(l.ops(), p); err != nil || !l.concerns(&f, s) {
		return f, nil, err
	}
	if len(p) < f.size() {
		l.want = f.size()
		return f, nil, errNATSMore
	}
	p = p[:f.size()]
	if string(p[len(p)-2:]) != "\r\n" {
		return f, nil, errNotNATS
	}
	return f, &natsMessage{f, p}, nil
}

// skip passes bytes of the message under way. One that does not end as it must
// shows that the two sides do not speak what they seemed to.
func (l *natsLane) skip() {
	n := min(l.rest, l.end-l.at)
	for i := max(0, l.rest-2); i < n; i++ {
		if l.buf[l.at+i] != "\r\n"[2-(l.rest-i)] {
			l.n.blind.Store(true)
		}
	}
	l.at += n
	l.rest -= n
}

// giveUp makes the connection blind: from here everything passes.
func (l *natsLane) giveUp() {
	l.n.blind.Store(true)
	l.release(nil)
	l.rest = math.MaxInt
}

// write passes bytes on. Nobody else writes until the operation is complete.
func (l *natsLane) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if !l.midway {
		l.writing.Lock()
		l.midway = true
	}
	_, err := l.out.Write(p)
	if l.rest == 0 {
		l.between()
	}
	return err
}

// between says that no operation is under way.
func (l *natsLane) between() {
	if l.midway {
		l.midway = false
		l.writing.Unlock()
	}
}
