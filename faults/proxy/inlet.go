package proxy

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

var (
	errCut   = errors.New("stream cut by a toxic")
	errReset = errors.New("connection reset by a toxic")
)

// atRest is the generation of an inlet that reads nothing now: whatever it
// reads next is read under the setting of that moment.
const atRest = math.MaxUint64

// inlet is one direction of a connection: it reads a socket through the toxics
// in force. It has one reader.
type inlet struct {
	c   *conn
	dir stream.Direction
	src *net.TCPConn

	gen   atomic.Uint64 // of the setting that bytes are being read under
	hung  atomic.Bool   // its reader waits for a hang to end: nothing passes
	chain *chain        // nil: no toxic acts on this direction
	held  [][]byte      // came through a chain, not read yet
	end   error         // how the stream ended, once held is read

	states map[*toxic]any // of stateful toxics; they outlive a chain
	total  atomic.Int64   // bytes read
	fault  atomic.Pointer[stage]
}

func (i *inlet) link() *link { return i.c.link }

// reads tells whether nothing is read under a setting older than gen.
func (i *inlet) reads(gen uint64) bool { return i.gen.Load() >= gen || i.hung.Load() }

// Read reads bytes that have passed the toxics.
func (i *inlet) Read(p []byte) (int, error) {
	for {
		if len(i.held) > 0 {
			return i.take(p), nil
		}
		if i.end != nil {
			return 0, i.end
		}
		if i.chain != nil {
			i.pull()
			continue
		}
		n, err := i.readPlain(func() (int64, error) {
			n, err := i.src.Read(p)
			return int64(n), err
		})
		if n > 0 || err != nil {
			return int(n), err
		}
	}
}

// readPlain runs read with no toxic in between, or starts a chain. Both
// results are zero when the setting changed.
func (i *inlet) readPlain(read func() (int64, error)) (int64, error) {
	s := i.link().current()
	if drawn := s.drawn(i.dir, i.c.id); len(drawn) > 0 {
		i.gen.Store(s.gen)
		i.fault.Store(drawn[0].stage)
		i.chain = startChain(i, s, drawn)
		return 0, nil
	}
	i.gen.Store(s.gen)
	defer i.gen.Store(atRest)
	if i.link().current() != s {
		return 0, nil
	}
	n, err := read()
	i.total.Add(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		i.clearKick()
		err = nil
	}
	return n, err
}

// spliceTo moves up to limit bytes to dst inside the kernel. It moves nothing
// while anything is set that wants to see the bytes.
func (i *inlet) spliceTo(dst *net.TCPConn, limit int64) (int64, error) {
	if i.chain != nil || len(i.held) > 0 || i.end != nil || i.link().current().hang != nil {
		return 0, nil
	}
	return i.readPlain(func() (int64, error) {
		return dst.ReadFrom(&io.LimitedReader{R: i.src, N: limit})
	})
}

// take hands out bytes that came through a chain.
func (i *inlet) take(p []byte) int {
	n := copy(p, i.held[0])
	if i.held[0] = i.held[0][n:]; len(i.held[0]) == 0 {
		i.held = i.held[1:]
	}
	i.total.Add(int64(n))
	return n
}

// pull waits for the chain: for bytes, its end, or other toxics.
func (i *inlet) pull() {
	s := i.link().current()
	if i.chain.ended() && !slices.Equal(s.drawn(i.dir, i.c.id), i.chain.toxics) {
		i.retire(s)
		return
	}
	select {
	case chunk, ok := <-i.chain.out:
		if !ok {
			i.end = i.chain.end()
			return
		}
		if len(chunk.Data) > 0 { // slicer makes empty ones
			i.chain.took(len(chunk.Data))
			i.held = append(i.held[:0], chunk.Data)
		}
	case <-i.chain.retired:
		i.retire(i.link().current())
	case <-s.changed:
	}
}

func (i *inlet) retire(s *setting) {
	still := s.drawn(i.dir, i.c.id)
	held, end := i.chain.retire(still)
	for _, chunk := range held {
		if len(chunk.Data) > 0 {
			i.held = append(i.held, chunk.Data)
		}
	}
	i.end = end
	i.chain = nil
	i.fault.Store(nil)
	for t := range i.states {
		if !slices.Contains(still, t) {
			delete(i.states, t)
		}
	}
	i.clearKick()
	i.gen.Store(atRest)
}

// newLink makes the place of one toxic between two channels.
func (i *inlet) newLink(t *toxic, in <-chan *stream.StreamChunk, out chan<- *stream.StreamChunk) *chainLink {
	stub := toxics.NewToxicStub(in, out)
	if stateful, ok := t.Toxic.(toxics.StatefulToxic); ok {
		if i.states == nil {
			i.states = map[*toxic]any{}
		}
		if i.states[t] == nil {
			i.states[t] = stateful.NewState()
		}
		stub.State = i.states[t]
	}
	return &chainLink{stub: stub, toxic: t, input: in, out: out}
}

// kick makes a blocked reader look at the setting again.
func (i *inlet) kick() { i.src.SetReadDeadline(time.Unix(1, 0)) }

// clearKick must come before the setting is looked at, so that no kick is lost.
func (i *inlet) clearKick() { i.src.SetReadDeadline(time.Time{}) }

// close ends the chain, if any; the socket is closed already.
func (i *inlet) close() {
	if i.chain != nil {
		i.chain.retire(nil)
		i.chain = nil
	}
}
