package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"squall/runner/record"
)

// Step of one injection in the journal.
type Step string

// Intent is on disk before anything is done; whatever has an intent and no
// reverted may have happened and must be undone.
const (
	StepIntent   Step = "intent"
	StepInjected Step = "injected"
	StepReverted Step = "reverted"
)

// Line is one line of undo.ndjson. A fault on several targets has lines of its
// own for each: ID and On together name what must be undone.
type Line struct {
	Seq     uint64          `json:"seq"`
	At      time.Time       `json:"at"`
	ID      string          `json:"id"`
	Kind    string          `json:"kind"`
	On      string          `json:"on"`
	Step    Step            `json:"step"`
	Undo    json.RawMessage `json:"undo,omitempty"`
	Locator json.RawMessage `json:"locator,omitempty"` // how another process finds the target
	By      string          `json:"by,omitempty"`      // runner, or heal
}

// Journal is the undo journal: append-only, on disk before Append returns.
type Journal struct {
	mu    sync.Mutex
	lines *record.LineFile
	seq   uint64

	// Mirror, if any, is given each line once it is on disk; Append fails with it.
	// It is set before the first line.
	Mirror func(Line) error
}

// OpenJournal opens or creates a journal for appending.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	j, err := continueJournal(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func continueJournal(path string, f record.File) (*Journal, error) {
	lines, whole, err := readLines(path)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(whole); err != nil { // a line that a crash left half-written
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return &Journal{lines: record.NewLineFile(f, whole, true), seq: uint64(len(lines))}, nil
}

// syncDir makes a new file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("undo journal: sync %s: %w", dir, err)
	}
	return nil
}

// Append writes one line and returns once it is on disk. After an error the
// journal is as it was, and can be appended to.
func (j *Journal) Append(l Line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	l.Seq, l.At = j.seq, time.Now().UTC()
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	if err := j.lines.Append(data); err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	j.seq++
	if j.Mirror != nil {
		if err := j.Mirror(l); err != nil {
			return fmt.Errorf("undo journal: %w", err)
		}
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.lines.Close() }

// ReadJournal returns the intents that have not been reverted, oldest first.
func ReadJournal(path string) ([]Line, error) {
	lines, _, err := readLines(path)
	if err != nil {
		return nil, err
	}
	var open []Line
	for _, l := range lines {
		switch l.Step {
		case StepIntent:
			open = append(open, l)
		case StepReverted:
			open = slices.DeleteFunc(open, func(o Line) bool { return o.ID == l.ID && o.On == l.On })
		}
	}
	return open, nil
}

// readLines reads what is whole, and how many bytes that is. A last line that a
// crash cut short was not on disk when Append would have returned, so nothing
// was done on its strength. Anything else that cannot be read is an error: it
// may have been an intent.
func readLines(path string) (lines []Line, whole int64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("undo journal: %w", err)
	}
	lines, n, err := parseLines(data)
	if err != nil {
		return nil, 0, fmt.Errorf("undo journal %s: %w", path, err)
	}
	return lines, int64(n), nil
}

func parseLines(data []byte) (lines []Line, whole int, err error) {
	for raw := range bytes.Lines(data) {
		if raw[len(raw)-1] != '\n' {
			break
		}
		var l Line
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", len(lines)+1, err)
		}
		if l.Seq != uint64(len(lines)) {
			return nil, 0, fmt.Errorf("line %d has number %d, expected %d: lines are missing", len(lines)+1, l.Seq, len(lines))
		}
		lines = append(lines, l)
		whole += len(raw)
	}
	return lines, whole, nil
}
