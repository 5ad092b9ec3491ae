package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Writer appends to a run directory. It is safe for concurrent use. Every line
// is one write(2), so a reader, or a crash, never sees half of two lines; what a
// failed write leaves is cut off.
type Writer struct {
	dir     string
	started time.Time // with its monotonic reading

	mu     sync.Mutex
	files  map[Stream]*LineFile
	seq    uint64
	prev   string // of the newest line of the main stream
	totals map[Stream]Totals
	sums   map[Stream]hash.Hash
	err    error // the first failed write; the record is incomplete from there on
	closed bool
}

// Create makes the directory and writes the header. h.Started must carry a
// monotonic reading (time.Now). It fails if the directory holds a run already.
func Create(dir string, h Header) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record: create run directory: %w", err)
	}
	w := &Writer{dir: dir, started: h.Started, files: map[Stream]*LineFile{}, totals: map[Stream]Totals{}, sums: map[Stream]hash.Hash{}}
	for _, s := range append([]Stream{Main}, bulk...) {
		f, err := os.OpenFile(path(dir, s), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			w.closeFiles()
			return nil, fmt.Errorf("record: create stream: %w", err)
		}
		w.files[s], w.sums[s] = NewLineFile(f, 0, false), sha256.New()
	}
	h.Format = FormatVersion
	if err := w.Append(TypeHeader, h); err != nil {
		w.closeFiles()
		return nil, err
	}
	return w, nil
}

func path(dir string, s Stream) string { return filepath.Join(dir, string(s)+".ndjson") }

// Dir is the run directory.
func (w *Writer) Dir() string { return w.dir }

// Started is the zero of every T.
func (w *Writer) Started() time.Time { return w.started }

// Since is the run's clock: time since start, monotonic.
func (w *Writer) Since() time.Duration { return time.Since(w.started) }

// Append writes one entry to the main stream. One that cannot be written still
// uses up its number, so that a reader sees the gap.
func (w *Writer) Append(t Type, payload any) error {
	data, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("record: encode %s: %w", t, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := Entry{Seq: w.seq, T: max(0, time.Since(w.started)), Type: t, Data: data, Prev: w.prev}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record: encode %s: %w", t, err)
	}
	w.seq++
	if err := w.write(Main, line); err != nil {
		return err
	}
	w.prev = lineSum(line)
	return nil
}

// Put writes one line to a bulk stream.
func (w *Writer) Put(s Stream, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record: encode %s line: %w", s, err)
	}
	return w.Raw(s, line)
}

// Raw writes one line that is JSON already, without its newline.
func (w *Writer) Raw(s Stream, line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(s, line)
}

// Lost counts n lines of a stream that had to be given up: the record has a gap.
func (w *Writer) Lost(s Stream, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.totals[s]
	t.Dropped += n
	w.totals[s] = t
}

func (w *Writer) write(s Stream, line []byte) error {
	if w.closed {
		return fmt.Errorf("record: write to %s after the end", s)
	}
	if err := w.files[s].Append(line); err != nil {
		err = fmt.Errorf("record: write %s: %w", s, err)
		w.err = errors.Join(w.err, err)
		t := w.totals[s]
		t.Dropped++
		w.totals[s] = t
		return err
	}
	t := w.totals[s]
	t.Lines++
	w.totals[s] = t
	w.sums[s].Write(line)
	w.sums[s].Write([]byte{'\n'})
	return nil
}

// Close writes the end entry, with the totals of all other streams, and
// returns the first write error of the run if there was one.
func (w *Writer) Close(end End) error {
	w.mu.Lock()
	end.Streams = map[Stream]Totals{}
	for s := range w.files {
		if s != Main {
			t := w.totals[s]
			t.Sum = hex.EncodeToString(w.sums[s].Sum(nil))
			end.Streams[s] = t
		}
	}
	w.mu.Unlock()
	err := w.Append(TypeEnd, end)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return errors.Join(w.err, err, w.closeFiles())
}

func (w *Writer) closeFiles() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
