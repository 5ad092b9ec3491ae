package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
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

// Line is one line of undo.ndjson.
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
	mu   sync.Mutex
	file *os.File
	seq  uint64
}

// OpenJournal opens or creates a journal for appending.
func OpenJournal(path string) (*Journal, error) {
	lines, torn, err := readLines(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("undo journal: %w", err)
	}
	j := &Journal{file: f, seq: uint64(len(lines))}
	if torn { // end the line that a crash left half-written; readers pass over it
		if _, err := f.Write([]byte{'\n'}); err != nil {
			return nil, errors.Join(fmt.Errorf("undo journal: %w", err), f.Close())
		}
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
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

// Append writes one line and returns once it is on disk.
func (j *Journal) Append(l Line) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	l.Seq, l.At = j.seq, time.Now().UTC()
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	if _, err := j.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("undo journal: %w", err)
	}
	j.seq++
	return nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// ReadJournal returns the intents that have not been reverted, oldest first.
func ReadJournal(path string) ([]Line, error) {
	lines, _, err := readLines(path)
	if err != nil {
		return nil, err
	}
	reverted := map[string]bool{}
	for _, l := range lines {
		if l.Step == StepReverted {
			reverted[l.ID] = true
		}
	}
	var open []Line
	for _, l := range lines {
		if l.Step == StepIntent && !reverted[l.ID] {
			open = append(open, l)
		}
	}
	return open, nil
}

// readLines reads what is whole. A line that a crash cut short was not on disk
// when Append would have returned, so nothing was done on its strength.
func readLines(path string) (lines []Line, torn bool, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("undo journal: %w", err)
	}
	torn = len(data) > 0 && data[len(data)-1] != '\n'
	for raw := range bytes.Lines(data) {
		var l Line
		if json.Unmarshal(raw, &l) == nil && l.ID != "" {
			lines = append(lines, l)
		}
	}
	return lines, torn, nil
}
