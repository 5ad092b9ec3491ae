package process

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
)

// longestLine is how much of a line is looked at.
const longestLine = 4 << 10

// lineWatch passes output on and closes seen at the first line that matches. It
// is used by one writer at a time.
type lineWatch struct {
	to      io.Writer
	pattern *regexp.Regexp // nil once seen, or when nothing is looked for
	seen    chan<- struct{}
	rest    []byte // of a line that has no end yet
}

func newLineWatch(to io.Writer, pattern string, seen chan<- struct{}) (*lineWatch, error) {
	w := &lineWatch{to: to, seen: seen}
	if pattern == "" {
		return w, nil
	}
	var err error
	if w.pattern, err = regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("ready: log: %w", err)
	}
	return w, nil
}

// Write implements io.Writer.
func (w *lineWatch) Write(p []byte) (int, error) {
	if w.pattern != nil {
		w.look(p)
	}
	return w.to.Write(p)
}

func (w *lineWatch) look(p []byte) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ended := bytes.Cut(w.rest, []byte("\n"))
		if w.pattern.Match(line) {
			w.pattern, w.rest = nil, nil
			close(w.seen)
			return
		}
		if !ended {
			break
		}
		w.rest = rest
	}
	if over := len(w.rest) - longestLine; over > 0 {
		w.rest = w.rest[over:]
	}
}
