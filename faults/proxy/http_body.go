package proxy

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"

	"squall/faults"
)

// errCutShort says that a body has been let pass as far as a rule wants.
var errCutShort = errors.New("body cut by a rule")

// payload opens the writer for the next run of n bytes of a body: all of it, or
// one chunk. n is -1 for a body that lasts until the connection ends.
type payload func(n int64) io.Writer

func unchanged(w io.Writer) payload { return func(int64) io.Writer { return w } }

// cutter lets the first bytes of a body pass and then fails.
type cutter struct {
	w     io.Writer
	rule  *faults.HTTPRule
	whole int64 // length of the run at hand
	left  int64 // that may pass; -1: not known yet
}

func newCutter(w io.Writer, rule *faults.HTTPRule) *cutter {
	c := &cutter{w: w, rule: rule, left: rule.Bytes}
	if rule.Share > 0 {
		c.left = -1
	}
	return c
}

// open is a payload. What a length says fits is left alone.
func (c *cutter) open(n int64) io.Writer {
	if c.whole = n; c.left < 0 && n >= 0 {
		c.left = int64(c.rule.Share * float64(n))
	}
	return c
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left < 0 { // nobody knows the length: the share is of what has come
		c.left = int64(c.rule.Share * float64(len(p)))
	}
	if int64(len(p)) <= c.left {
		c.left -= int64(len(p))
		return c.w.Write(p)
	}
	n, err := c.w.Write(p[:c.left])
	c.left = 0
	if err == nil {
		err = errCutShort
	}
	return n, err
}

// flipper changes some bytes of the first run of a body.
type flipper struct {
	w      io.Writer
	r      ruling
	places []int64 // in order, that are still to come
	at     int64
	opened bool
	done   bool // something was changed
}

// open is a payload.
func (f *flipper) open(n int64) io.Writer {
	if f.opened {
		return f.w
	}
	f.opened = true
	if n < 0 {
		n = math.MaxInt16 // until the connection ends: near its start
	}
	for i := uint64(0); int64(len(f.places)) < min(f.r.HTTP.Bytes, n); i++ {
		place := int64(chance(f.r.Seed+f.r.n, f.r.id+"/place", i) * float64(n))
		if at, known := slices.BinarySearch(f.places, place); !known {
			f.places = slices.Insert(f.places, at, place)
		}
	}
	return f
}

func (f *flipper) Write(p []byte) (int, error) {
	end := f.at + int64(len(p))
	if len(f.places) > 0 && f.places[0] < end {
		q := bytes.Clone(p)
		for len(f.places) > 0 && f.places[0] < end {
			mask := byte(1 + 255*chance(f.r.Seed+f.r.n, f.r.id+"/mask", uint64(f.places[0])))
			q[f.places[0]-f.at] ^= mask
			f.places = f.places[1:]
		}
		f.done = true
		p = q
	}
	f.at = end
	return f.w.Write(p)
}

// recorder keeps what is written, up to a bound.
type recorder struct {
	bytes.Buffer
	max  int64
	over bool
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.over = r.over || int64(r.Len()+len(p)) > r.max; r.over {
		r.Reset()
		return len(p), nil
	}
	return r.Buffer.Write(p)
}
