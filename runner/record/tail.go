package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// tail reads the complete lines of a growing file.
type tail struct {
	path string
	off  int64
	n    uint64

	optional bool // there may be no such file
}

func (t *tail) lines(each func([]byte) error) error {
	f, err := os.Open(t.path)
	if t.optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(t.off, io.SeekStart); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	in := bufio.NewReaderSize(f, 64<<10)
	var long []byte // what was read of a line that the buffer does not hold
	for {
		line, err := in.ReadSlice('\n')
		if len(long) > 0 || err == bufio.ErrBufferFull {
			long = append(long, line...)
			line = long
		}
		switch err {
		case nil:
		case bufio.ErrBufferFull:
			continue
		case io.EOF:
			return nil // a torn last line waits for its rest
		default:
			return fmt.Errorf("record: read %s: %w", t.path, err)
		}
		if err := each(line[:len(line)-1]); err != nil {
			return fmt.Errorf("record: %s:%d: %w", t.path, t.n+1, err)
		}
		t.off, t.n, long = t.off+int64(len(line)), t.n+1, long[:0]
	}
}

// read appends what the new lines of a stream hold; tidy, if any, sees each before.
func read[T any](r *Run, s Stream, to *[]T, tidy func(*T)) error {
	t := r.tails[s]
	if r.End != nil {
		*to = slices.Grow(*to, t.left(r.End.Streams[s].Lines))
	}
	return t.lines(func(line []byte) error {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return err
		}
		if tidy != nil {
			tidy(&v)
		}
		*to = append(*to, v)
		return nil
	})
}

// left is how many lines are still to come where there are total, which is not
// believed beyond what the file can hold.
func (t *tail) left(total uint64) int {
	info, err := os.Stat(t.path)
	if err != nil || total < t.n {
		return 0
	}
	const shortLine = 32
	return int(min(total-t.n, uint64(max(0, info.Size()-t.off))/shortLine))
}

// names keeps once what millions of lines say again and again.
type names map[string]string

// mostNames bounds them: ids in paths are not worth keeping.
const mostNames = 4096

func (n names) share(s *string) {
	if one, known := n[*s]; known {
		*s = one
	} else if len(n) < mostNames {
		n[*s] = *s
	}
}

func (n names) exchange(x *Exchange) {
	for _, s := range []*string{&x.Edge, &x.Method, &x.Path, &x.Fault} {
		n.share(s)
	}
	if x.Key == x.Op {
		x.Key = x.Op
	}
}

func (n names) operation(o *Operation) {
	n.share(&o.Name)
	n.share((*string)(&o.Outcome))
	n.share(&o.Detail)
}
