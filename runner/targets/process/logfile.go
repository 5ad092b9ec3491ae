package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

const (
	logLimit = 20 << 20 // bytes a log file may reach; one older file is kept
	maxLine  = 1 << 20  // bytes of a line that secrets are looked for in
	tailSize = 8 << 10  // bytes read from the end for the last lines
)

// logFile takes the output of a service and bounds it: a full file becomes
// PATH.1, what was there before is given up, and a notice says so. Writes
// never fail, so that a full disk does not look like a fault of the service.
// Secrets are left out: then whole lines are written, as one may come in parts.
type logFile struct {
	path  string
	limit int64
	hide  *strings.Replacer // nil: there are no secrets
	part  []byte            // of a line that has not ended, where there are

	mu   sync.Mutex
	file *os.File
	size int64
	lost error // first error of writing
}

// openLog opens a log that leaves secrets out: each value is followed by what is
// written in its place.
func openLog(path string, limit int64, hidden ...string) (*logFile, error) {
	l := &logFile{path: path, limit: limit}
	if len(hidden) > 0 {
		l.hide = strings.NewReplacer(hidden...)
	}
	if err := l.open(os.O_APPEND); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *logFile) open(flag int) error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|flag, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hide == nil {
		l.put(p)
		return len(p), nil
	}
	l.part = append(l.part, p...)
	if whole := bytes.LastIndexByte(l.part, '\n') + 1; whole > 0 || len(l.part) > maxLine {
		if whole == 0 {
			whole = len(l.part)
		}
		l.put([]byte(l.hide.Replace(string(l.part[:whole]))))
		l.part = append(l.part[:0], l.part[whole:]...)
	}
	return len(p), nil
}

func (l *logFile) put(p []byte) {
	if l.lost == nil && l.size+int64(len(p)) > l.limit && l.size > 0 {
		l.lost = l.rotate()
	}
	if l.lost == nil {
		var n int
		n, l.lost = l.file.Write(p)
		l.size += int64(n)
	}
}

func (l *logFile) rotate() error {
	old := l.path + ".1"
	if err := os.Rename(l.path, old); err != nil {
		return err
	}
	_ = l.file.Close()
	if err := l.open(os.O_TRUNC); err != nil {
		return err
	}
	n, err := fmt.Fprintf(l.file, "--- squall: log reached %d bytes; the part before this line is in %s, older parts are given up\n", l.limit, old)
	l.size += int64(n)
	return err
}

// close returns the first error of writing, if the log is not complete.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.put([]byte(l.hide.Replace(string(l.part))))
	}
	_ = l.file.Close()
	return l.lost
}

// lastLines returns at most n whole lines from the end of a log.
func lastLines(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	cut := false
	if info, err := f.Stat(); err == nil && info.Size() > tailSize {
		_, err = f.Seek(-tailSize, io.SeekEnd)
		cut = err == nil
	}
	text, _ := io.ReadAll(io.LimitReader(f, tailSize))
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	if cut && len(lines) > 1 {
		lines = lines[1:] // begins in mid-line
	}
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
