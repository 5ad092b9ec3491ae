package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"squall/faults"
)

// clockFile is its name in the folder of each service's own.
const clockFile = "offset"

// newClock makes the file, with the offset that the machine has: none.
func newClock(file string) (*clock, error) {
	c := &clock{file: file}
	if file == "" {
		return c, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("set clock: %w", err)
	}
	return c, writeClock(file, 0)
}

// clock is the file that tells a service the offset of its clock, in the format
// of libfaketime's timestamp files: "+120" is two minutes ahead.
type clock struct {
	file string // empty: the service has none

	mu    sync.Mutex
	skews map[*skew]time.Duration // they add up
}

// writeClock replaces the file in one step: a reader sees the old offset or the new one.
func writeClock(file string, offset time.Duration) error {
	text := strconv.FormatFloat(offset.Seconds(), 'f', -1, 64)
	if offset >= 0 {
		text = "+" + text
	}
	// Readable for a service that hands its work to another user.
	if err := os.WriteFile(file+".new", []byte(text+"\n"), 0o644); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	return nil
}

// set puts or takes back (0) an offset.
func (c *clock) set(s *skew, offset time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skews == nil {
		c.skews = map[*skew]time.Duration{}
	}
	c.skews[s] = offset
	if offset == 0 {
		delete(c.skews, s)
	}
	var sum time.Duration
	for d := range maps.Values(c.skews) {
		sum += d
	}
	return writeClock(c.file, sum)
}

// says is what the file holds. It is not read while somebody counts who does.
func (c *clock) says() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.skews) > 0 {
		return fmt.Sprintf("set by %d holds", len(c.skews))
	}
	text, err := os.ReadFile(c.file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// skew is one offset.
type skew struct {
	clock *clock
	reads *readCounter
}

func newSkew(c *clock, offset time.Duration) (*skew, error) {
	if c.file == "" {
		return nil, errors.New("its clock cannot be set: it has no clock.env")
	}
	reads, err := countReads(c.file)
	if err != nil {
		return nil, fmt.Errorf("watch clock: %w", err)
	}
	s := &skew{clock: c, reads: reads}
	if err := c.set(s, offset); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// status counts how often the file was opened since the offset is in it.
func (s *skew) status(context.Context) (faults.Evidence, error) {
	r := s.reads.receipt()
	r.Unit, r.Note = "reads of the clock", "what the process makes of it is not seen"
	return faults.Evidence{Active: true, Receipt: r}, nil
}

func (s *skew) stop() { s.reads.close() }

func (s *skew) release(context.Context) error { return s.clock.set(s, 0) }
