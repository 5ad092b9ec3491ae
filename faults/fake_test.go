package faults

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

// params decodes like a scenario file does.
func params(kv map[string]any) func(any) error {
	return spec.NodeFrom(kv).Decode
}

func newFault(t *testing.T, kind string, kv map[string]any) (Kind, Fault) {
	t.Helper()
	k, err := Builtin().Kind(kind)
	require.NoError(t, err)
	f, err := k.New(params(kv))
	require.NoError(t, err)
	return k, f
}

// memLink is a link proxy in memory; a deaf one ignores what it is told.
type memLink struct {
	mu     sync.Mutex
	stages map[string]Stage
	hits   uint64
	deaf   bool
	gone   bool
}

func (l *memLink) Name() string { return "a -> b" }

func (l *memLink) PutStage(_ context.Context, id string, s Stage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.deaf {
		m := maps.Clone(l.stages)
		if m == nil {
			m = map[string]Stage{}
		}
		m[id] = s
		l.stages = m
	}
	return nil
}

func (l *memLink) DeleteStage(_ context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return ErrGone
	}
	delete(l.stages, id)
	return nil
}

func (l *memLink) StageStatus(_ context.Context, id string) (StageStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.stages[id]
	if !ok {
		return StageStatus{}, ErrNoStage
	}
	return StageStatus{ID: id, Stage: s, Receipt: Receipt{Hits: l.hits, Unit: "requests"}}, nil
}

// memProcess is a service in memory; a deaf one ignores signals.
type memProcess struct {
	id    ProcessID
	state string
	deaf  bool
	gone  bool

	deafTo string // a signal
}

func (p *memProcess) Name() string { return "orders" }

func (p *memProcess) Identity(context.Context) (ProcessID, error) {
	if p.state == stateDead {
		return ProcessID{}, ErrNotRunning
	}
	return p.id, nil
}

func (p *memProcess) Signal(_ context.Context, id ProcessID, sig string) error {
	if p.gone {
		return ErrGone
	}
	if id != p.id || p.state == stateDead {
		return ErrNotRunning
	}
	if !p.deaf && sig != p.deafTo {
		p.state = map[string]string{"KILL": stateDead, "TERM": stateDead, "STOP": stateStopped, "CONT": stateRunning}[sig]
	}
	return nil
}

func (p *memProcess) Start(context.Context) error {
	if p.gone {
		return ErrGone
	}
	if p.state == stateDead {
		p.id.Start++
		p.state = stateRunning
	}
	return nil
}

func (p *memProcess) State(_ context.Context, id ProcessID) (string, error) {
	if id != p.id {
		return stateDead, nil
	}
	return p.state, nil
}

// memHolder is a service in memory whose supervisor takes holds.
type memHolder struct {
	memProcess
	holds map[string]Hold
}

func (h *memHolder) PutHold(_ context.Context, id string, hold Hold) error {
	if h.holds == nil {
		h.holds = map[string]Hold{}
	}
	h.holds[id] = hold
	return nil
}

func (h *memHolder) DeleteHold(_ context.Context, id string) error {
	if h.gone {
		return ErrGone
	}
	delete(h.holds, id)
	return nil
}

func (h *memHolder) HoldStatus(_ context.Context, id string) (Evidence, error) {
	if _, ok := h.holds[id]; !ok {
		return Evidence{}, ErrNoHold
	}
	return Evidence{Active: true, Receipt: Receipt{Hits: 3, Unit: "periods"}}, nil
}
