package proxy

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// atRest is the generation of an inlet that reads nothing now: whatever it
// reads next is read under the setting of that moment.
const atRest = math.MaxUint64

const (
	// spliceFor is the longest that one splice runs: bytes are counted as it ends.
	spliceFor = 250 * time.Millisecond
	// spliceStuck is how long after a kick a splice can only be waiting to write.
	spliceStuck = 10 * time.Millisecond
)

// inlet is one direction of a connection: it reads a socket through the toxics
// in force. It has one reader, and no goroutine of its own.
type inlet struct {
	c   *conn
	dir direction
	src *net.TCPConn
	raw syscall.RawConn // of src

	gen  atomic.Uint64 // of the setting that bytes are being read under
	hung atomic.Bool   // its reader waits for a hang to end: nothing passes
	late atomic.Bool   // toxics hold bytes of it

	splicing atomic.Bool
	kicked   atomic.Int64 // when, in Unix nanoseconds; 0: not since the last read began

	seen  *setting // that line was made for
	line  *line    // nil: no toxic acts on this direction
	fault atomic.Pointer[stage]
	ended bool  // src has ended: its end is in line
	end   error // of what has passed

	armed time.Time // read deadline of src, unless stale
	stale bool      // a kick has changed it
	timer *time.Timer

	fill *block // where the next bytes are read to; nil while none come
	lent *block // of what next returned
	rest []byte // of it, not taken by Read yet

	// Of one read of the socket: where to, if not to fill, and what came of it.
	try  func(fd uintptr) bool
	into []byte
	got  int
	err  error
}

func (i *inlet) link() *link { return i.c.link }

// open makes src what the inlet reads.
func (i *inlet) open(src *net.TCPConn) {
	i.src, i.try = src, i.tryRead
	i.raw, _ = src.SyscallConn() // fails for nil alone
}

// reads tells whether nothing is read under a setting older than gen. A splice
// whose receiver does not take what is in the pipe reads no more once kicked.
func (i *inlet) reads(gen uint64) bool {
	if i.gen.Load() >= gen || i.hung.Load() {
		return true
	}
	kicked := i.kicked.Load()
	return i.splicing.Load() && kicked != 0 && time.Since(time.Unix(0, kicked)) > spliceStuck
}

// Read reads bytes that have passed the toxics.
func (i *inlet) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		i.into = p
		rest, err := i.next()
		i.into = nil
		if err != nil {
			return 0, err
		}
		if i.lent == nil { // read into p
			return len(rest), nil
		}
		i.rest = rest
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// next waits for bytes that have passed the toxics. They are valid until it is
// called again. It returns bytes or an error.
func (i *inlet) next() ([]byte, error) {
	if p := i.rest; len(p) > 0 {
		i.rest = nil
		return p, nil
	}
	i.lent.release()
	i.lent = nil
	defer i.gen.Store(atRest)
	for i.end == nil {
		s := i.link().current()
		if s != i.seen {
			i.adapt(s)
		}
		if i.line == nil {
			if p, err := i.readPlain(s); len(p) > 0 || err != nil {
				return p, err
			}
			continue
		}
		now := time.Now()
		p, ok := i.line.next(now)
		if !ok {
			if err := i.await(s, i.line.wake()); err != nil {
				return nil, err
			}
			continue
		}
		if p.end == nil {
			i.lent = p.block
			return p.data, nil
		}
		i.end = p.end
	}
	return nil, i.end
}

// adapt puts the toxics of s in force.
func (i *inlet) adapt(s *setting) {
	drawn := s.drawn(i.dir, i.c)
	i.seen = s
	if len(drawn) > 0 && i.line == nil {
		i.line = new(line)
	}
	i.fault.Store(nil)
	if len(drawn) > 0 {
		i.fault.Store(drawn[0].stage)
	}
	if i.line == nil {
		return
	}
	i.line.adapt(drawn, i.c.id, time.Now())
	if len(drawn) == 0 && !i.line.holds() {
		i.drained()
	}
}

// readPlain reads the socket with no toxic in between. Both results are zero
// when the setting changed.
func (i *inlet) readPlain(s *setting) ([]byte, error) {
	p, err := i.read(s, time.Time{})
	if len(p) > 0 && i.into == nil {
		i.lent, i.fill = i.fill, nil
	}
	if err != nil {
		i.end = err
	}
	return p, err
}

// await lets the line go on: it returns when there are more bytes, when those
// it holds are due, or when the setting changed.
func (i *inlet) await(s *setting, due time.Time) error {
	if len(i.line.stations) == 0 {
		i.drained()
		return nil
	}
	i.late.Store(i.line.holds())
	if i.ended || !i.line.room() {
		return i.rests(s, due)
	}
	into := i.into
	i.into = nil
	p, err := i.read(s, due)
	i.into = into
	now := time.Now()
	if len(p) > 0 {
		i.fill.refs++
		i.line.push(piece{data: p, block: i.fill}, now)
		if i.fill.used += len(p); i.fill.used > blockSize-blockSpare {
			i.fill.release()
			i.fill = nil
		}
	}
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	if err != nil {
		i.ended = true
		i.line.push(piece{end: err}, now)
	}
	return nil
}

// drained says that all is out that toxics held, and that none acts any more.
func (i *inlet) drained() {
	i.line = nil
	i.late.Store(false)
}

// rests waits without reading.
func (i *inlet) rests(s *setting, due time.Time) error {
	i.gen.Store(s.gen)
	var elapsed <-chan time.Time
	if !due.IsZero() {
		if i.timer == nil {
			i.timer = time.NewTimer(time.Until(due))
		} else {
			i.timer.Reset(time.Until(due))
		}
		defer i.timer.Stop()
		elapsed = i.timer.C
	}
	select {
	case <-elapsed:
	case <-s.changed:
	case <-i.c.done:
		return net.ErrClosed
	}
	return nil
}

// read reads the socket once, until due if that is not zero. Both results are
// zero when nothing came until then or the setting changed.
func (i *inlet) read(s *setting, due time.Time) ([]byte, error) {
	if !i.arm(s, due) {
		return nil, nil
	}
	i.got, i.err = 0, nil
	err := i.raw.Read(i.try)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		i.stale = true
		return nil, nil
	case err != nil:
		return nil, err
	case i.err != nil:
		return nil, &net.OpError{Op: "read", Net: "tcp", Source: i.src.LocalAddr(), Addr: i.src.RemoteAddr(), Err: os.NewSyscallError("read", i.err)}
	case i.got == 0:
		return nil, io.EOF
	case i.into != nil:
		return i.into[:i.got], nil
	}
	return i.fill.data[i.fill.used:][:i.got], nil
}

// arm sets the read deadline, and is false if s is not in force any more. A kick
// comes after the change it tells of, and the deadline before s is looked at:
// so no kick is lost.
func (i *inlet) arm(s *setting, due time.Time) bool {
	if i.stale || !due.Equal(i.armed) {
		i.src.SetReadDeadline(due)
		i.armed, i.stale = due, false
	}
	i.kicked.Store(0)
	i.gen.Store(s.gen)
	return i.link().current() == s
}

// tryRead reads the socket if there is something. While nothing is, it keeps no
// buffer: most connections are idle most of the time.
func (i *inlet) tryRead(fd uintptr) bool {
	p := i.into
	if p == nil {
		if i.fill == nil {
			i.fill = newBlock()
		}
		p = i.fill.data[i.fill.used:]
	}
	for {
		i.got, i.err = syscall.Read(int(fd), p)
		switch i.err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if i.fill != nil && i.fill.refs == 1 {
				i.fill.release()
				i.fill = nil
			}
			return false
		}
		i.got = max(i.got, 0)
		return true
	}
}

// spliceTo moves up to limit bytes to dst inside the kernel. It moves nothing
// while anything is set that wants to see the bytes.
func (i *inlet) spliceTo(dst *net.TCPConn, limit int64) (int64, error) {
	s := i.link().current()
	if s != i.seen || i.line != nil || i.end != nil || i.c.hangs() {
		return 0, nil
	}
	i.splicing.Store(true)
	defer i.splicing.Store(false) // after gen, so that who looks never sees an old one by itself
	defer i.gen.Store(atRest)
	if !i.arm(s, time.Now().Add(spliceFor)) {
		return 0, nil
	}
	n, err := dst.ReadFrom(&io.LimitedReader{R: i.src, N: limit})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		i.stale, err = true, nil
	}
	return n, err
}

// kick makes a blocked reader look at the setting again.
func (i *inlet) kick() {
	i.src.SetReadDeadline(time.Unix(1, 0))
	i.kicked.Store(time.Now().UnixNano())
}

// close gives back what the inlet holds; its socket is closed already.
func (i *inlet) close() {
	i.lent.release()
	i.fill.release()
	i.lent, i.fill, i.line = nil, nil, nil
}
