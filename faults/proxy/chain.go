package proxy

import (
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

const (
	chunkSize = 32 << 10
	// chainBytes bounds what one chain holds. Stock latency holds 1,024 chunks
	// whatever their size: 34 MB on a bulk connection.
	chainBytes = 8 << 20
	maxMarks   = 4096
)

// chain runs toxics on one direction of one connection. A feeder reads the
// socket into it; the inlet reads what comes out.
type chain struct {
	in     *inlet
	toxics []*toxic
	links  []*chainLink
	input  chan *stream.StreamChunk
	out    <-chan *stream.StreamChunk

	fed     chan struct{}       // closed when the feeder has ended
	retired chan struct{}       // closed before fed when it ended because other toxics apply now
	srcErr  error               // why it ended otherwise; read after fed
	rest    *stream.StreamChunk // read but not fed; read after fed

	room      chan struct{} // cap 1: wakes the feeder
	held      atomic.Int64  // bytes fed and not come out
	unbounded bool          // a toxic swallows bytes: held means nothing

	mu    sync.Mutex
	marks []mark // times of bytes on their way, to measure delays
	fedN  int64
	outN  int64
	wg    sync.WaitGroup
}

// mark says when the bytes up to end were fed.
type mark struct {
	end int64
	at  time.Time
}

// chainLink is one toxic of a chain.
type chainLink struct {
	stub  *toxics.ToxicStub
	toxic *toxic
	input <-chan *stream.StreamChunk
	out   chan<- *stream.StreamChunk
	cut   atomic.Bool // end the stream when interrupted
}

func startChain(in *inlet, s *setting, drawn []*toxic) *chain {
	c := &chain{
		in: in, toxics: drawn,
		input:   make(chan *stream.StreamChunk, drawn[0].BufferSize),
		fed:     make(chan struct{}),
		retired: make(chan struct{}),
		room:    make(chan struct{}, 1),
	}
	last := c.input
	for i, t := range drawn {
		buffer := 0
		if i+1 < len(drawn) {
			buffer = drawn[i+1].BufferSize
		}
		next := make(chan *stream.StreamChunk, buffer)
		c.links = append(c.links, in.newLink(t, last, next))
		c.unbounded = c.unbounded || t.Type == "timeout"
		last = next
	}
	c.out = last
	for _, l := range c.links {
		c.wg.Go(l.run)
	}
	c.wg.Go(func() { c.feed(s) })
	return c
}

// run runs the toxic until its stream ends or it is interrupted, and then
// keeps its neighbours moving: a toxic that is gone must not block the others.
func (l *chainLink) run() {
	always := l.toxic.ToxicWrapper
	always.Toxicity = 1 // whether it acts on this connection was drawn before
	l.stub.Run(&always)
	if !l.stub.Closed() && !l.cut.Load() {
		for c := range l.input {
			l.out <- c
		}
	}
	l.stub.Close()
	for range l.input { // a stream that was cut: swallow the rest
	}
}

// feed reads the socket into the chain for as long as its toxics apply.
func (c *chain) feed(s *setting) {
	defer close(c.fed)
	buf := make([]byte, chunkSize)
	for {
		if now := c.in.link().current(); now != s {
			if !slices.Equal(now.drawn(c.in.dir, c.in.c.id), c.toxics) {
				close(c.retired)
				return
			}
			s = now
		}
		c.in.gen.Store(s.gen)
		n, err := c.in.src.Read(buf)
		if n > 0 && !c.push(&stream.StreamChunk{Data: slices.Clone(buf[:n]), Timestamp: time.Now()}) {
			return
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // kicked
			c.in.clearKick()
		case err != nil:
			c.srcErr = err
			close(c.input)
			return
		}
	}
}

// push feeds one chunk. It fails when the toxics changed or the connection
// ended meanwhile; the chunk is then kept.
func (c *chain) push(chunk *stream.StreamChunk) bool {
	n := int64(len(chunk.Data))
	c.mark(n, chunk.Timestamp)
	for {
		s := c.in.link().current()
		input := c.input
		if !c.unbounded && c.held.Load() >= chainBytes {
			input = nil // wait for room
		}
		if slices.Equal(s.drawn(c.in.dir, c.in.c.id), c.toxics) {
			c.in.gen.Store(s.gen)
			select {
			case input <- chunk:
				c.held.Add(n)
				c.hit(uint64(n))
				return true
			case <-c.room:
				continue
			case <-s.changed:
				continue
			case <-c.in.c.done:
			}
		}
		c.rest = chunk
		close(c.retired)
		return false
	}
}

// hit counts the bytes for every stage that has a toxic here.
func (c *chain) hit(n uint64) {
	for i, t := range c.toxics {
		if i == 0 || t.stage != c.toxics[i-1].stage {
			t.stage.hit(n)
		}
	}
}

func (c *chain) mark(n int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fedN += n; len(c.marks) < maxMarks {
		c.marks = append(c.marks, mark{c.fedN, at})
	}
}

// took says that n bytes came out: it makes room and measures their delay.
func (c *chain) took(n int) {
	c.held.Add(-int64(n))
	select {
	case c.room <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outN += int64(n)
	passed := 0
	for ; passed < len(c.marks) && c.marks[passed].end <= c.outN; passed++ {
		c.toxics[0].stage.delays.add(time.Since(c.marks[passed].at))
	}
	c.marks = c.marks[:copy(c.marks, c.marks[passed:])]
}

// retire ends the chain and returns what it held, in order, and how the stream
// ended, if it did: with the socket's, or because of a toxic that goes (as
// Toxiproxy's timeout) or had ended it before. still is what will be in force.
func (c *chain) retire(still []*toxic) (held []*stream.StreamChunk, end error) {
	<-c.fed
	end = c.srcErr
	c.wg.Go(func() {
		for _, l := range slices.Backward(c.links) { // so that nobody waits for a later one
			_, ends := l.toxic.Toxic.(toxics.CleanupToxic)
			l.cut.Store(ends && !slices.Contains(still, l.toxic))
			open := l.stub.InterruptToxic()
			if c.srcErr == nil && (!open || l.cut.Load()) {
				end = errCut
			}
		}
		if c.srcErr == nil {
			close(c.input)
		}
	})
	for chunk := range c.out {
		held = append(held, chunk)
	}
	c.wg.Wait()
	if c.rest != nil && end == nil {
		held = append(held, c.rest)
	}
	return held, end
}

// end says why nothing more comes out.
func (c *chain) end() error {
	for _, t := range c.toxics {
		if t.Type == "reset_peer" {
			return errReset
		}
	}
	select {
	case <-c.fed:
		if c.srcErr != nil {
			return c.srcErr
		}
	default:
	}
	return errCut
}

// ended tells whether the socket's stream has ended.
func (c *chain) ended() bool {
	select {
	case <-c.fed:
		return c.srcErr != nil
	default:
		return false
	}
}
