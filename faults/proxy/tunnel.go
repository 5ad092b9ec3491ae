package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

const (
	laneBuffer = 16 << 10
	spliceMax  = 4 << 20
	// spliceAfter full buffers in a row a lane is busy enough for splice; an
	// idle splice would hold a pipe, two descriptors, for each direction.
	spliceAfter = 4
)

var laneBuffers = sync.Pool{New: func() any { return new([laneBuffer]byte) }}

// tunnel passes bytes both ways until both sides are done, and returns the
// wire log's word for a failure.
func (c *conn) tunnel(ctx context.Context) string {
	if err := c.dial(ctx); err != nil {
		c.reset()
		return dialWord(err)
	}
	up := make(chan string, 1)
	c.lanes.Go(func() {
		up <- c.lane(&c.up, &c.up, c.toUpstream(), errWordCallerLeft, errWordUpstream)
	})
	down := c.lane(&c.down, &c.down, c.toCaller(), errWordUpstream, errWordCallerLeft)
	if word := <-up; word != "" {
		return word
	}
	return down
}

// lane copies one direction until its end. r reads from in, with what was
// buffered before. srcWord and dstWord name the failure of either side.
func (c *conn) lane(r io.Reader, in *inlet, out *outlet, srcWord, dstWord string) string {
	err, broken := c.copy(r, in, out)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		out.dst.CloseWrite()
		c.watchHalf()
		return ""
	case errors.Is(err, errCut):
		c.finish()
		return errWordReset
	case errors.Is(err, errReset):
		c.reset()
		return errWordReset
	}
	c.reset() // a reset on one side is a reset on the other
	if broken {
		return dstWord
	}
	return srcWord
}

// copy moves bytes from r, which reads in, to out. broken says that out failed.
func (c *conn) copy(r io.Reader, in *inlet, out *outlet) (err error, broken bool) {
	buf := laneBuffers.Get().(*[laneBuffer]byte)
	defer laneBuffers.Put(buf)
	for full := 0; ; {
		n, err := r.Read(buf[:])
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				return werr, true
			}
		}
		if err != nil {
			return err, false
		}
		if full++; n < len(buf) {
			full = 0
		}
		for full >= spliceAfter && r == io.Reader(in) {
			n, err := in.spliceTo(out.dst, spliceMax)
			out.moved(n)
			if err != nil {
				return err, errors.Is(err, syscall.EPIPE)
			}
			if n < spliceMax {
				break
			}
		}
	}
}

// watchHalf ends the connection when its other direction stands still for the
// linger time: half a connection must not live for ever.
func (c *conn) watchHalf() {
	c.lanes.Go(func() {
		tick := time.NewTicker(c.link.opts.Linger)
		defer tick.Stop()
		for last := c.sent.Load() + c.out.Load(); ; {
			select {
			case <-c.done:
				return
			case <-tick.C:
			}
			now := c.sent.Load() + c.out.Load()
			if now == last {
				c.finish()
				return
			}
			last = now
		}
	})
}
