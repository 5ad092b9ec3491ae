package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxLogLine bounds a line that is looked at; of a longer one the rest is not.
const maxLogLine = 64 << 10

// LogLine is one line that an instance of the system wrote, read as JSON where
// it is an object.
type LogLine struct {
	Text   string
	Fields map[string]any // nil: no JSON object
	T      time.Duration  // since run start; only if Timed
	Timed  bool           // the line says when it was written
}

// Log gives the lines of an instance's log, logs/INSTANCE.log, in the order
// they were written. An instance that wrote nothing may have no file.
func (r *Run) Log(instance string, give func(LogLine)) error {
	f, err := os.Open(filepath.Join(r.Dir, "logs", instance+".log"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLogLine)
	for {
		line, more, err := in.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("record: log of %s: %w", instance, err)
		}
		give(r.logLine(string(line)))
		for more && err == nil {
			_, more, err = in.ReadLine()
		}
	}
}

func (r *Run) logLine(text string) LogLine {
	l := LogLine{Text: text}
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &l.Fields) != nil {
		l.Fields = nil
		return l
	}
	for _, name := range []string{"time", "timestamp", "ts", "@timestamp"} {
		if at, ok := instant(l.Fields[name]); ok {
			l.T, l.Timed = at.Sub(r.Header.Started), true
			break
		}
	}
	return l
}

// instant reads what loggers write: RFC 3339, or Unix seconds as a number.
func instant(v any) (time.Time, bool) {
	switch v := v.(type) {
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		return at, err == nil
	case float64:
		return time.UnixMicro(int64(v * 1e6)), v > 0
	}
	return time.Time{}, false
}

// Field is the value of a field as text; ok is false if the line has none.
func (l LogLine) Field(name string) (text string, ok bool) {
	v, ok := l.Fields[name]
	if s, isText := v.(string); isText {
		return s, true
	}
	if !ok {
		return "", false
	}
	b, err := json.Marshal(v)
	return string(b), err == nil
}
