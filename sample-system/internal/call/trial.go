package call

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// trial is a connection that has to prove itself by its first byte.
type trial struct {
	net.Conn
	dialer *dialer
	addr   string
	gate   *gate // nil: it was open
	asked  atomic.Bool
	once   sync.Once
}

// Write passes on what is sent.
func (t *trial) Write(b []byte) (int, error) {
	t.asked.Store(true)
	return t.Conn.Write(b)
}

// Read passes on what comes, and takes note of what comes first.
func (t *trial) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		t.once.Do(t.proved)
	} else if err != nil {
		t.once.Do(func() { t.over(err) })
	}
	return n, err
}

// Close ends the connection; without a byte that says nothing about the callee.
func (t *trial) Close() error {
	t.once.Do(func() { t.over(net.ErrClosed) })
	return t.Conn.Close()
}

func (t *trial) proved() {
	if t.gate != nil {
		t.dialer.proved(t.addr, t.gate)
	}
}

// over is the end of a connection on which nothing came. It is a failure if the
// callee had been asked something or has reset it. (A server also closes
// connections on which no request has come for some seconds.)
func (t *trial) over(err error) {
	switch {
	case !errors.Is(err, net.ErrClosed) && (t.asked.Load() || errors.Is(err, syscall.ECONNRESET)):
		t.dialer.failed(t.addr, t.gate)
	case t.gate != nil:
		t.dialer.ended(t.gate)
	}
}
