package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// lineSum is the SHA-256 of a line without its newline.
func lineSum(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// Verified is what Verify found of a record that is as it was written.
type Verified struct {
	Entries int
	Head    string // SHA-256 of the last line: whoever noted it can tell a record that was rewritten as a whole
	Ended   bool   // there is an end entry, so that the other streams were held against it
}

// Verify reports the first line of the main stream that is not as it was
// written, and every stream that is not what the end entry says. An edited last
// line is seen only by comparing Head with what was noted when the run ended.
func Verify(dir string) (Verified, error) {
	var v Verified
	data, err := os.ReadFile(path(dir, Main))
	if err != nil {
		return v, fmt.Errorf("record: %w", err)
	}
	var end *End
	lines := bytes.SplitAfter(data, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	}
	for i, line := range lines {
		bad := func(at int, format string, args ...any) (Verified, error) {
			return v, fmt.Errorf("%s:%d: "+format, append([]any{path(dir, Main), at}, args...)...)
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			return bad(i+1, "it was cut off")
		}
		line = line[:len(line)-1]
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return bad(i+1, "it was edited: not an entry: %w", err)
		}
		switch {
		case e.Seq != uint64(i):
			return bad(i+1, "entry %d stands where entry %d was: lines were edited, removed, added or moved", e.Seq, i)
		case e.Prev != v.Head && follows(lines[i+1:], line):
			return bad(i, "entry %d was edited: the next one has the SHA-256 of another", i-1)
		case e.Prev != v.Head:
			return bad(i+1, "entry %d was edited: neither what it says of the entry before nor what the next one says of it is so", i)
		}
		v.Entries, v.Head = i+1, lineSum(line)
		if e.Type == TypeEnd {
			end = new(End)
			if err := json.Unmarshal(e.Data, end); err != nil {
				return bad(i+1, "%w", err)
			}
		}
	}
	if v.Entries == 0 {
		return v, fmt.Errorf("%s is empty", path(dir, Main))
	}
	if v.Ended = end != nil; !v.Ended {
		return v, nil
	}
	var errs []error
	for _, s := range bulk {
		errs = append(errs, verifyStream(path(dir, s), end.Streams[s]))
	}
	return v, errors.Join(errs...)
}

func verifyStream(file string, want Totals) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.Sum {
		return fmt.Errorf("%s was edited: its SHA-256 is not what the end of the run says", file)
	}
	return nil
}

// follows reports whether the next line says that it follows this very one,
// which then is as it was written. Nothing speaks against the last line.
func follows(next [][]byte, line []byte) bool {
	var e Entry
	return len(next) == 0 || json.Unmarshal(next[0], &e) == nil && e.Prev == lineSum(line)
}
