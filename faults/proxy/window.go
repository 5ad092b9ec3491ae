package proxy

import "io"

const (
	windowStart = 4 << 10 // most connections of a pump need little
	windowBusy  = 32 << 10
)

// window is what a pump has read of one direction and not passed on yet.
type window struct {
	buf     []byte
	at, end int // buf[at:end] has not been passed on
	want    int // bytes that are waited for as a whole; 0: any
}

func newWindow() window { return window{buf: make([]byte, windowStart)} }

// read reads more, after making room for what is waited for.
func (w *window) read(r io.Reader) error {
	switch held := w.end - w.at; {
	case max(w.want, held+1) > len(w.buf):
		w.resize(max(w.want, 2*len(w.buf)))
	case len(w.buf) > windowBusy && max(w.want, held) < windowBusy:
		w.resize(windowBusy)
	default:
		w.end = copy(w.buf, w.buf[w.at:w.end])
		w.at = 0
	}
	n, err := r.Read(w.buf[w.end:])
	w.end += n
	if w.end == len(w.buf) && len(w.buf) < windowBusy { // busy: there may be more than fits
		w.resize(2 * len(w.buf))
	}
	return err
}

func (w *window) resize(size int) {
	buf := make([]byte, size)
	w.end = copy(buf, w.buf[w.at:w.end])
	w.buf, w.at = buf, 0
}
