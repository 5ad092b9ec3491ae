package gameday

import (
	"context"
	"sync"

	"squall/runner/targets"
)

// shared is one environment for a day and the scenarios that are its steps: each
// has a view of it. It goes up with the first view and down with that one.
type shared struct {
	targets.Environment

	mu     sync.Mutex
	views  []*view
	goneBy bool // its events have ended
}

// feedSize bounds the events that wait for a reader of a view, as the
// environment bounds its own.
const feedSize = 1024

func newShared(env targets.Environment) *shared {
	s := &shared{Environment: env}
	go s.pass()
	return s
}

// pass hands every event to every view, until the environment is down.
func (s *shared) pass() {
	for ev := range s.Environment.Events() {
		s.mu.Lock()
		for _, v := range s.views {
			select {
			case v.events <- ev:
			default: // its reader is far behind; what happened to a process is also on its fault
			}
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goneBy = true
	for _, v := range s.views {
		close(v.events)
	}
	s.views = nil
}

func (s *shared) view() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &view{shared: s, owns: len(s.views) == 0, events: make(chan targets.Event, feedSize)}
	if s.goneBy {
		close(v.events)
		return v
	}
	s.views = append(s.views, v)
	return v
}

// view is the environment as one run sees it.
type view struct {
	*shared
	owns   bool // brings it up and down
	events chan targets.Event
}

var _ targets.Environment = (*view)(nil)

// Up brings it up, unless it is already.
func (v *view) Up(ctx context.Context) error {
	if v.owns {
		return v.Environment.Up(ctx)
	}
	return nil
}

// Down ends it for whoever brought it up; for another only its events end.
func (v *view) Down(ctx context.Context) error {
	if v.owns {
		return v.Environment.Down(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, o := range v.views {
		if o == v {
			v.views = append(v.views[:i], v.views[i+1:]...)
			close(v.events)
			break
		}
	}
	return nil
}

// Events are those of the environment, from when the view was made.
func (v *view) Events() <-chan targets.Event { return v.events }
