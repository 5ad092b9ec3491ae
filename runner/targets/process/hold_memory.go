package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"squall/faults"
)

// A service whose memory a fault will limit starts in a cgroup of its own: what
// a process has allocated stays with the group that it was in then. All groups
// of an environment are below one, which is named in env.json for Sweep.

// usageLooks is how often we look at what a service uses, and limitTries how
// often a limit is put on it.
const (
	usageEvery = 2 * time.Millisecond
	usageLooks = 25
	limitTries = 500
)

// makeCgroups makes the groups that a blueprint asks for.
func makeCgroups(bp *blueprint) error {
	for _, l := range bp.Services {
		if l.Cgroup == "" {
			continue
		}
		if err := os.MkdirAll(bp.Cgroup, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		if bp.Unified {
			if err := os.WriteFile(filepath.Join(bp.Cgroup, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
				return fmt.Errorf("make cgroup: %w", err)
			}
		}
		if err := os.MkdirAll(l.Cgroup, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups removes an environment's groups, once nothing runs in them.
// The kernel takes a moment to forget a process that has ended.
func removeCgroups(group string) error {
	if group == "" {
		return nil
	}
	var err error
	for range killRounds {
		inner, _ := filepath.Glob(filepath.Join(group, "*", "cgroup.procs"))
		for _, procs := range inner {
			_ = os.Remove(filepath.Dir(procs)) // told by the outer one
		}
		if err = os.Remove(group); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		<-time.After(10 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroup: %w; by hand: rmdir %s/* %s, once nothing runs in them", err, group, group)
}

func joinCgroup(group string, pid int) error {
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("join cgroup: %w", err)
	}
	return nil
}

// memoryGroup is the group of one service with the limits that are put on it,
// of which the least is in force.
type memoryGroup struct {
	faults.MemoryCgroup // of this service; no Dir: it has none

	mu     sync.Mutex
	limits map[*memoryLimit]uint64 // bytes
}

// set puts or lifts (0) a limit.
func (g *memoryGroup) set(m *memoryLimit, limit uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limits == nil {
		g.limits = map[*memoryLimit]uint64{}
	}
	g.limits[m] = limit
	if limit == 0 {
		delete(g.limits, m)
	}
	text := "-1"
	if g.Unified {
		text = "max"
	}
	if len(g.limits) > 0 {
		text = strconv.FormatUint(slices.Min(slices.Collect(maps.Values(g.limits))), 10)
	}
	return os.WriteFile(filepath.Join(g.Dir, g.LimitFile()), []byte(text), 0)
}

// says is the limit that is in force.
func (g *memoryGroup) says() string {
	text, err := os.ReadFile(filepath.Join(g.Dir, g.LimitFile()))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// usage is what the group uses now, in bytes, cached files included.
func (g *memoryGroup) usage() (uint64, error) {
	name := "memory.usage_in_bytes"
	if g.Unified {
		name = "memory.current"
	}
	return g.number(name, "")
}

// memoryEvents counts since the group was made.
type memoryEvents struct{ met, killed uint64 }

func (g *memoryGroup) events() (e memoryEvents, err error) {
	if g.Unified {
		e.met, err = g.number("memory.events", "max ")
		if err == nil {
			e.killed, err = g.number("memory.events", "oom_kill ")
		}
		return e, err
	}
	e.met, err = g.number("memory.failcnt", "")
	if err == nil {
		e.killed, err = g.number("memory.oom_control", "oom_kill ")
	}
	return e, err
}

// number is what a file of the group says in the line that begins with key.
func (g *memoryGroup) number(file, key string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(g.Dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, key); is {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s does not tell %s", file, key)
}

// memoryLimit is one limit.
type memoryLimit struct {
	keep *keeper
	svc  *service
	at   uint64 // bytes
	from memoryEvents

	mu          sync.Mutex
	first, last time.Time // when it was seen met
	met         uint64
}

func newMemoryLimit(ctx context.Context, k *keeper, s *service, rule faults.MemoryRule) (*memoryLimit, error) {
	if s.memory.Dir == "" {
		return nil, errors.New("its memory cannot be limited: it was not started for that")
	}
	if c := s.current(); c == nil || c.state() == stateDead {
		return nil, faults.ErrNotRunning // what it uses now would be nothing
	}
	m := &memoryLimit{keep: k, svc: s}
	var err error
	if m.from, err = s.memory.events(); err != nil {
		return nil, err
	}
	least, err := s.memory.least(ctx)
	if err != nil {
		return nil, err
	}
	m.at = max(least+rule.Headroom, 1)
	for range limitTries { // version 1 refuses while more than that is in use
		if err = s.memory.set(m, m.at); err == nil {
			return m, nil
		}
		if !pause(ctx, usageEvery) {
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("limit memory: %w", err), s.memory.set(m, 0))
}

// least is the least that the group uses within a moment: what a service takes
// and gives back with every call is no part of what it needs.
func (g *memoryGroup) least(ctx context.Context) (least uint64, err error) {
	for i := range usageLooks {
		now, err := g.usage()
		if err != nil {
			return 0, err
		}
		if i == 0 || now < least {
			least = now
		}
		if !pause(ctx, usageEvery) {
			return 0, ctx.Err()
		}
	}
	return least, nil
}

// status counts how often the limit was met, seen as of now.
func (m *memoryLimit) status(context.Context) (faults.Evidence, error) {
	now, err := m.svc.memory.events()
	if err != nil {
		return faults.Evidence{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if met := now.met - m.from.met; met > m.met {
		m.met, m.last = met, time.Now()
		if m.first.IsZero() {
			m.first = m.last
		}
	}
	r := faults.Receipt{Hits: m.met, Unit: "times at the limit", First: m.first, Last: m.last}
	r.Note = fmt.Sprintf("limit %d bytes; the kernel killed %d processes", m.at, now.killed-m.from.killed)
	return faults.Evidence{Active: true, Receipt: r}, nil
}

func (m *memoryLimit) stop() {}

// release lifts the limit, and starts a service that the kernel has killed for
// it. Who was killed a moment ago may not be dead yet, nor counted.
func (m *memoryLimit) release(ctx context.Context) error {
	if err := m.svc.memory.set(m, 0); err != nil {
		return err
	}
	c := m.svc.current()
	dead := func() bool { return c == nil || c.state() == stateDead }
	now, err := m.svc.memory.events()
	for look := 0; err == nil && now.met > m.from.met && !dead() && (look < usageLooks || dying(c.id)); look++ {
		if !pause(ctx, usageEvery) {
			return ctx.Err()
		}
		now, err = m.svc.memory.events()
	}
	if err != nil || now.killed == m.from.killed || !dead() {
		return err
	}
	return m.keep.start(ctx, m.svc.launch.Name)
}
