package app

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// lockedWriter lets one Write through at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write is one whole write.
func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func writeJSONLine(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

// modTime is the zero time for a file that cannot be looked at.
func modTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
