package app

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"
)

func writeJSONLine(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

func cutLine(s string) (first, rest string, found bool) { return strings.Cut(s, "\n") }

// modTime is the zero time for a file that cannot be looked at.
func modTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
