package bustest

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cable is a TCP way to a server that can be cut as a network is: nothing passes
// any more and nobody is told.
type Cable struct {
	Addr string // host:port, for NATS_URL

	to    string
	mu    sync.Mutex
	pass  *sync.Cond
	cut   bool
	conns []net.Conn
	pumps sync.WaitGroup
}

// NewCable lays a cable to the server at a URL, until the test ends.
func NewCable(t testing.TB, natsURL string) *Cable {
	u, err := url.Parse(natsURL)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &Cable{Addr: l.Addr().String(), to: u.Host}
	c.pass = sync.NewCond(&c.mu)
	c.pumps.Go(func() { c.accept(l) })
	t.Cleanup(func() {
		l.Close()
		c.Heal()
		c.unplug()
		c.pumps.Wait()
	})
	return c
}

// Cut holds everything that is sent, until Heal.
func (c *Cable) Cut() { c.set(true) }

// Heal passes on what was held.
func (c *Cable) Heal() { c.set(false) }

func (c *Cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.pass.Broadcast()
}

func (c *Cable) accept(l net.Listener) {
	for {
		down, err := l.Accept()
		if err != nil {
			c.unplug()
			return
		}
		up, err := net.Dial("tcp", c.to)
		if err != nil {
			down.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, down, up)
		c.mu.Unlock()
		c.pumps.Go(func() { c.pump(up, down) })
		c.pumps.Go(func() { c.pump(down, up) })
	}
}

func (c *Cable) pump(dst, src net.Conn) {
	defer dst.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		if c.wait(); err != nil {
			return
		}
		if _, err := dst.Write(b[:n]); err != nil {
			return
		}
	}
}

func (c *Cable) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.cut {
		c.pass.Wait()
	}
}

func (c *Cable) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}
