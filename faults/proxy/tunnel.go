package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"syscall"
	"time"
)

const (
	spliceMax = 4 << 20
	// spliceAfter bytes, in large pieces, a lane is busy enough for splice, until
	// one moves less than spliceLeast: an idle splice would hold a pipe, two
	// descriptors, for each direction.
	spliceAfter = 128 << 10
	spliceLeast = 256 << 10
)

// tunnel passes bytes both ways until both sides are done, after what before has
// read of the caller, if that is not nil. It returns the wire log's word for a failure.
func (c *conn) tunnel(ctx context.Context, before *bufio.Reader) string {
	if err := c.dial(ctx); err != nil {
		c.reset()
		return dialWord(err)
	}
	up := make(chan string, 1)
	c.lanes.Go(func() {
		up <- c.lane(before, &c.up, c.toUpstream(), errWordCallerLeft, errWordUpstream)
	})
	down := c.lane(nil, &c.down, c.toCaller(), errWordUpstream, errWordCallerLeft)
	if word := <-up; word != "" {
		return word
	}
	return down
}

// lane copies one direction until its end, after what before has read of it, if
// that is not nil. srcWord and dstWord name the failure of either side.
func (c *conn) lane(before *bufio.Reader, in *inlet, out *outlet, srcWord, dstWord string) string {
	err, broken := c.copy(before, in, out)
	return c.ended(err, broken, out, srcWord, dstWord)
}

// ended ends one direction after err; broken says that out failed.
func (c *conn) ended(err error, broken bool, out *outlet, srcWord, dstWord string) string {
	c.holdEnd()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		if c.eofs.Add(1) == 2 { // both sides are done: closing says it to both at once
			c.finish()
			return ""
		}
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

// copy moves bytes from in to out, after what before has of them. broken says
// that out failed.
func (c *conn) copy(before *bufio.Reader, in *inlet, out *outlet) (err error, broken bool) {
	if before != nil {
		p, _ := before.Peek(before.Buffered())
		if _, err := out.Write(p); err != nil {
			return err, true
		}
	}
	for busy := 0; ; {
		p, err := in.next()
		if err != nil {
			return err, false
		}
		if _, err := out.Write(p); err != nil {
			return err, true
		}
		if busy += len(p); len(p) < blockSize/4 {
			busy = 0
		}
		for busy >= spliceAfter {
			n, err := in.spliceTo(out.dst, spliceMax)
			out.moved(n)
			if err != nil {
				return err, errors.Is(err, syscall.EPIPE)
			}
			if n < spliceLeast {
				busy = 0
			}
		}
	}
}

// watchHalf ends the connection when, half closed, it stands still for the
// linger time: half a connection must not live for ever. What toxics hold back
// does not stand still.
func (c *conn) watchHalf() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.half != nil || c.over() {
		return
	}
	last := c.moved()
	c.half = time.AfterFunc(c.link.opts.Linger, func() {
		now := c.moved()
		if now == last && !c.up.late.Load() && !c.down.late.Load() {
			c.finish()
			return
		}
		last = now
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.over() {
			c.half.Reset(c.link.opts.Linger)
		}
	})
}

// moved counts the bytes that have passed either way.
func (c *conn) moved() int64 { return c.sent.Load() + c.out.Load() }
