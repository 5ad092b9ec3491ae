package record

import (
	"errors"
	"fmt"
	"io"
)

// File is what a LineFile needs of an *os.File that was opened with O_APPEND.
type File interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// LineFile appends whole lines, one write(2) each. What a failed write leaves is
// cut off again, so that the next line always follows a whole one. It is not
// safe for concurrent use.
type LineFile struct {
	file    File
	durable bool
	end     int64 // bytes, all of them whole lines
	torn    bool  // there may be more than that in the file
}

// NewLineFile continues a file that holds size bytes of whole lines. If durable,
// a line is on disk before Append returns.
func NewLineFile(f File, size int64, durable bool) *LineFile {
	return &LineFile{file: f, end: size, durable: durable}
}

// Append writes one line, given without its newline. After an error nothing of
// it is in the file; where that cannot be had, every later Append tries again
// and writes nothing until it is so.
func (l *LineFile) Append(line []byte) error {
	if err := l.mend(); err != nil {
		return err
	}
	buf := make([]byte, 0, len(line)+1)
	buf = append(append(buf, line...), '\n')
	if err := l.put(buf); err != nil {
		l.torn = true
		return errors.Join(err, l.mend())
	}
	l.end += int64(len(buf))
	return nil
}

func (l *LineFile) put(data []byte) error {
	if _, err := l.file.Write(data); err != nil {
		return err
	}
	if l.durable {
		return l.file.Sync()
	}
	return nil
}

func (l *LineFile) mend() error {
	if !l.torn {
		return nil
	}
	if err := l.file.Truncate(l.end); err != nil {
		return fmt.Errorf("cut off what a failed write left: %w", err)
	}
	l.torn = false
	return nil
}

// Close closes the file.
func (l *LineFile) Close() error { return l.file.Close() }
