package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"squall/faults"
	"squall/faults/proxy"
)

// world is a running environment as its runner, and any process that attached
// to it, can reach it.
type world struct {
	bp    *blueprint
	ctl   *client
	links *proxy.Client
}

func newWorld(bp *blueprint, control, token string) *world {
	return &world{bp: bp, ctl: newClient(control, token), links: proxy.NewClient(bp.ProxyURL)}
}

// target resolves an instance, or "caller -> callee" of two instances.
func (w *world) target(name string) (faults.Target, error) {
	for _, l := range w.bp.Links {
		if l.Edge == name {
			return w.linkTarget(l), nil
		}
	}
	for _, l := range w.bp.Services {
		if l.Name == name {
			return &serviceTarget{name: name, ctl: w.ctl}, nil
		}
	}
	return nil, fmt.Errorf("target %q: no such service or edge, known: %s", name, strings.Join(w.bp.targetNames(), ", "))
}

func (bp *blueprint) targetNames() []string {
	var names []string
	for _, l := range bp.Services {
		names = append(names, l.Name)
	}
	for _, l := range bp.Links {
		names = append(names, l.Edge)
	}
	return names
}

func (w *world) linkTarget(l link) faults.Target {
	through := w.links.Link(l.Proxy, l.Edge)
	if l.Protocol == "nats" {
		return &busTarget{Link: through, url: addressFor(l.Protocol, l.Upstream)}
	}
	return through
}

// snapshot is the comparable picture that targets.Environment promises.
func (w *world) snapshot(ctx context.Context) (map[string]string, error) {
	picture := map[string]string{}
	states, err := w.ctl.states(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot of processes: %w", err)
	}
	for name, st := range states {
		picture["process "+name] = st.State
	}
	proxies, err := w.links.Proxies(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot of proxies: %w", err)
	}
	for _, p := range proxies {
		picture["proxy "+p.Name] = "enabled " + strconv.FormatBool(p.Enabled) + ", upstream " + p.Upstream
		picture["stages of "+p.Name] = ""
	}
	stages, err := w.links.Stages(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot of stages: %w", err)
	}
	ids := map[string][]string{}
	for _, s := range stages {
		ids[s.Proxy] = append(ids[s.Proxy], s.ID)
	}
	for name, of := range ids {
		slices.Sort(of)
		picture["stages of "+name] = strings.Join(of, ", ")
	}
	return picture, nil
}

// busTarget is an edge to a broker.
type busTarget struct {
	faults.Link
	url string
}

// URL is the broker's own address, past the proxy.
func (b *busTarget) URL() string { return b.url }

// serviceTarget is a service that can be signalled and started. The supervisor
// does both, because only the parent of a process can do so without a race.
type serviceTarget struct {
	name string
	ctl  *client
}

// Name of the service.
func (s *serviceTarget) Name() string { return s.name }

// Identity of the running process, or faults.ErrNotRunning.
func (s *serviceTarget) Identity(ctx context.Context) (faults.ProcessID, error) {
	st, err := s.now(ctx)
	if err == nil && st.State == stateDead {
		err = fmt.Errorf("identify %s: %w", s.name, faults.ErrNotRunning)
	}
	if err != nil {
		return faults.ProcessID{}, err
	}
	return st.ID, nil
}

// Signal sends KILL, TERM, STOP or CONT to the process id and its group.
func (s *serviceTarget) Signal(ctx context.Context, id faults.ProcessID, sig string) error {
	if err := s.ctl.signal(ctx, s.name, id, sig); err != nil {
		return fmt.Errorf("signal %s: %w", s.name, err)
	}
	return nil
}

// Start starts the service if it is not running, and waits for its readiness.
func (s *serviceTarget) Start(ctx context.Context) error { return s.ctl.start(ctx, s.name) }

// State of the process id: running, stopped or dead.
func (s *serviceTarget) State(ctx context.Context, id faults.ProcessID) (string, error) {
	st, err := s.now(ctx)
	if err != nil {
		return "", err
	}
	if st.ID != id {
		return stateDead, nil
	}
	return st.State, nil
}

func (s *serviceTarget) now(ctx context.Context) (processState, error) {
	states, err := s.ctl.states(ctx)
	if err != nil {
		return processState{}, fmt.Errorf("look at %s: %w", s.name, err)
	}
	st, ok := states[s.name]
	if !ok {
		return processState{}, errors.New("supervisor does not know " + s.name)
	}
	return st, nil
}
