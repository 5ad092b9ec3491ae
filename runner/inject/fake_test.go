package inject

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"squall/faults"
)

// world is a target of every capability, in memory. A deaf world ignores stages
// and signals; a gone one does not exist any more.
type world struct {
	name  string // "a -> b" if empty
	deaf  bool
	gone  atomic.Bool
	quiet bool // nothing passes the link, so no stage ever has a hit

	mu    sync.Mutex
	state worldState
}

type worldState struct {
	Stages map[string]faults.Stage
	PID    faults.ProcessID
	State  string
}

func newWorld() *world {
	return &world{state: worldState{PID: faults.ProcessID{PID: 42, Start: 1}, State: "running"}}
}

func (w *world) load() worldState {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state
	if s.Stages = maps.Clone(s.Stages); s.Stages == nil {
		s.Stages = map[string]faults.Stage{}
	}
	return s
}

func (w *world) save(s worldState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
}

func (w *world) Name() string { return cmp.Or(w.name, "a -> b") }

func (w *world) PutStage(_ context.Context, id string, st faults.Stage) error {
	if !w.deaf {
		s := w.load()
		s.Stages[id] = st
		w.save(s)
	}
	return nil
}

func (w *world) DeleteStage(_ context.Context, id string) error {
	if w.gone.Load() {
		return faults.ErrGone
	}
	s := w.load()
	delete(s.Stages, id)
	w.save(s)
	return nil
}

func (w *world) StageStatus(_ context.Context, id string) (faults.StageStatus, error) {
	if w.gone.Load() {
		return faults.StageStatus{}, faults.ErrGone
	}
	st, ok := w.load().Stages[id]
	if !ok {
		return faults.StageStatus{}, faults.ErrNoStage
	}
	r := faults.Receipt{Hits: 5, Unit: "requests"}
	if w.quiet {
		r.Hits = 0
	}
	return faults.StageStatus{ID: id, Stage: st, Receipt: r}, nil
}

func (w *world) Identity(context.Context) (faults.ProcessID, error) {
	s := w.load()
	if s.State == "dead" {
		return faults.ProcessID{}, faults.ErrNotRunning
	}
	return s.PID, nil
}

func (w *world) Signal(_ context.Context, id faults.ProcessID, sig string) error {
	s := w.load()
	if s.State == "dead" || s.PID != id {
		return faults.ErrNotRunning
	}
	if !w.deaf {
		s.State = map[string]string{"KILL": "dead", "STOP": "stopped", "CONT": "running"}[sig]
		w.save(s)
	}
	return nil
}

func (w *world) Start(context.Context) error {
	if s := w.load(); s.State == "dead" {
		s.PID.Start++
		s.State = "running"
		w.save(s)
	}
	return nil
}

func (w *world) State(_ context.Context, id faults.ProcessID) (string, error) {
	s := w.load()
	if s.PID != id {
		return "dead", nil
	}
	return s.State, nil
}

// snapshot is what must be the same before and after.
func (w *world) snapshot() string {
	s := w.load()
	var ids []string
	for id := range s.Stages {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return fmt.Sprintf("stages [%s], process %s", strings.Join(ids, " "), s.State)
}
