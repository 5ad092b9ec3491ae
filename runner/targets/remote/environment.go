// Package remote reaches a system that somebody else runs (targets remote and
// containers): through proxies that are on its edges already, stock Toxiproxy
// servers and squall proxies, through command hooks, and through Docker.
//
// Nothing that the system file does not list is touched. What does not heal by
// itself is guarded by a watchdog: another process that knows what to undo.
package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/faults"
	"squall/faults/proxy"
	"squall/runner/targets"
	"squall/scenarios/spec"
)

// Kind of the locators of this package.
const Kind = "remote"

// callWithin bounds one call to a server or of a state hook; a stock Toxiproxy
// may freeze for good.
const callWithin = 5 * time.Second

// Guard holds what must be undone when the runner falls silent.
type Guard interface {
	// Renew extends the lease of an owner.
	Renew(ctx context.Context, owner string, lease time.Duration) error
	// Note takes one line of the undo journal before it counts as written.
	Note(ctx context.Context, owner string, line json.RawMessage) error
	// Done forgets the owner; it is an error while something is not undone.
	Done(ctx context.Context, owner string) error
}

// Config says which system, and for whom.
type Config struct {
	System *spec.System
	Owner  string
	Lease  time.Duration
	Getenv func(string) string // of squall's own environment: tokens, and what hooks may see
	// Watchdog starts or finds the guard; nil: there is none, as for a process
	// that only attaches.
	Watchdog func(context.Context) (Guard, error)
}

// Environment implements targets.Environment. It starts and ends nothing.
type Environment struct {
	cfg    Config
	where  locator
	events chan targets.Event
	end    sync.Once
	guard  Guard
}

var _ targets.Environment = (*Environment)(nil)

// locator is all that another process needs to reach the targets. It holds the
// names of variables that have secrets, never secrets.
type locator struct {
	Kind     string             `json:"kind"`
	System   string             `json:"system"`
	Services map[string]service `json:"services,omitempty"` // with hooks or a container
	Links    []link             `json:"links,omitempty"`
}

type service struct {
	Container string      `json:"container,omitempty"`
	Hooks     *spec.Hooks `json:"hooks,omitempty"`
}

type link struct {
	Edge string `json:"edge"`
	spec.Through
	Protocol string `json:"protocol"`
}

// New makes an environment; it touches nothing.
func New(cfg Config) *Environment {
	sys := cfg.System
	where := locator{Kind: Kind, System: sys.Metadata.Name, Services: map[string]service{}}
	for name, svc := range sys.Spec.Services {
		switch {
		case sys.Spec.Target == spec.TargetContainers:
			where.Services[name] = service{Container: sys.ContainerOf(name)}
		case svc.Hooks != nil:
			where.Services[name] = service{Hooks: svc.Hooks}
		}
	}
	for _, e := range sys.Spec.Edges {
		if e.Through != nil {
			where.Links = append(where.Links, link{Edge: e.Name(), Through: *e.Through, Protocol: e.Protocol})
		}
	}
	return &Environment{cfg: cfg, where: where, events: make(chan targets.Event)}
}

// Attach reaches the targets of another process's environment.
func Attach(where json.RawMessage, getenv func(string) string) (*Environment, error) {
	var l locator
	if err := json.Unmarshal(where, &l); err != nil || l.Kind != Kind {
		return nil, fmt.Errorf("attach: locator %s is not one of a remote target", where)
	}
	return &Environment{cfg: Config{Getenv: getenv}, where: l}, nil
}

// Up checks that everything the file lists is there, and that somebody guards
// it. A name that resolves to nothing is an error.
func (e *Environment) Up(ctx context.Context) error {
	var errs []error
	for _, f := range e.Check(ctx) {
		if f.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.What, f.Err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if e.cfg.Watchdog == nil {
		return nil
	}
	var err error
	if e.guard, err = e.cfg.Watchdog(ctx); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	return e.guard.Renew(ctx, e.cfg.Owner, e.cfg.Lease)
}

// Finding is one thing that was looked at.
type Finding struct {
	What string
	Says string
	Err  error
}

// Check looks at every proxy, hook and container that the file lists, changing nothing.
func (e *Environment) Check(ctx context.Context) (out []Finding) {
	for _, l := range e.where.Links {
		says, err := e.checkLink(ctx, l)
		out = append(out, Finding{"edge " + l.Edge, says, err})
	}
	for _, name := range slices.Sorted(maps.Keys(e.where.Services)) {
		p, err := e.process(name)
		var st state
		if err == nil {
			st, err = p.now(ctx)
		}
		if err == nil && st.says != stateRunning {
			err = fmt.Errorf("it is %s, expected %s", st.says, stateRunning)
		}
		out = append(out, Finding{"service " + name, st.says, err})
	}
	return out
}

func (e *Environment) checkLink(ctx context.Context, l link) (string, error) {
	p, others, err := e.proxyOf(ctx, l)
	if err != nil {
		return "", err
	}
	if !p.Enabled {
		return "", fmt.Errorf("proxy %s is disabled, by somebody else: nothing runs through it", l.Proxy)
	}
	return fmt.Sprintf("proxy %s, %s -> %s, %d toxics of others", l.Proxy, p.Listen, p.Upstream, others), nil
}

// proxyOf finds the proxy of an edge, and how many toxics of others are on it.
func (e *Environment) proxyOf(ctx context.Context, l link) (stockProxy, int, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if l.Squall != "" {
		all, err := e.squall(l).Proxies(ctx)
		p, there := all[l.Proxy]
		if err == nil && !there {
			err = missing(l.Proxy, l.Squall, slices.Sorted(maps.Keys(all)))
		}
		return stockProxy{Name: p.Name, Listen: p.Listen, Upstream: p.Upstream, Enabled: p.Enabled}, 0, err
	}
	all, err := stock{l.Toxiproxy}.proxies(ctx)
	p, there := all[l.Proxy]
	if err == nil && !there {
		err = missing(l.Proxy, l.Toxiproxy, slices.Sorted(maps.Keys(all)))
	}
	return p, len(p.foreign("")), err
}

func missing(name, server string, known []string) error {
	return fmt.Errorf("there is no proxy %s on %s, known: %s", name, server, strings.Join(known, ", "))
}

func (e *Environment) squall(l link) *proxy.Client {
	c := proxy.NewClient(l.Squall)
	if l.TokenEnv != "" {
		c = c.WithToken(e.cfg.Getenv(l.TokenEnv))
	}
	return c
}

// Down lets the guard go. It leaves the system as it is.
func (e *Environment) Down(ctx context.Context) error {
	e.end.Do(func() { close(e.events) })
	if e.guard == nil {
		return nil
	}
	return e.guard.Done(ctx, e.cfg.Owner)
}

// Note is for the undo journal: what is not noted is not done.
func (e *Environment) Note(ctx context.Context, line json.RawMessage) error {
	if e.guard == nil {
		return nil
	}
	return e.guard.Note(ctx, e.cfg.Owner, line)
}

// Target resolves a service with hooks or a container, or an edge.
func (e *Environment) Target(name string) (faults.Target, error) {
	var known []string
	for _, l := range e.where.Links {
		if known = append(known, l.Edge); l.Edge != name {
			continue
		}
		if l.Squall != "" {
			return e.squall(l).Link(l.Proxy, l.Edge), nil
		}
		return &stockLink{edge: l.Edge, proxy: l.Proxy, server: stock{l.Toxiproxy}, protocol: l.Protocol}, nil
	}
	if _, ok := e.where.Services[name]; ok {
		return e.process(name)
	}
	known = append(known, slices.Sorted(maps.Keys(e.where.Services))...)
	return nil, fmt.Errorf("target %q: nothing of that name may be touched, known: %s", name, strings.Join(known, ", "))
}

// Services lists what can be asked, as the file says.
func (e *Environment) Services() (out []targets.Service) {
	for _, name := range slices.Sorted(maps.Keys(e.cfg.System.Spec.Services)) {
		svc := e.cfg.System.Spec.Services[name]
		s := targets.Service{Name: name, Of: e.cfg.System.ServiceOf(name), Metrics: svc.Metrics, Ports: e.ports(name, svc)}
		if at := s.Ports[svc.Port]; at != "" {
			s.URL = "http://" + at
		}
		out = append(out, s)
	}
	return out
}

// ClientEnv has the addresses of the edges of the client: of its proxy, or of
// the service itself where none is on the edge.
func (e *Environment) ClientEnv() map[string]string {
	out := map[string]string{}
	for _, edge := range e.cfg.System.Spec.Edges {
		if edge.Caller != spec.Client || edge.Env == "" {
			continue
		}
		at := e.ports(edge.Callee, e.cfg.System.Spec.Services[edge.Callee])[edge.Port]
		for _, l := range e.where.Links {
			if l.Edge != edge.Name() {
				continue
			}
			if p, _, err := e.proxyOf(context.Background(), l); err == nil {
				at = reachable(p.Listen, cmp.Or(l.Toxiproxy, l.Squall))
			}
		}
		if out[edge.Env] != "" {
			out[edge.Env] += ","
		}
		out[edge.Env] += address(edge.Protocol, at)
	}
	return out
}

// Wire is empty of what stock servers see, which they do not tell, and has what
// squall proxies see on the listed edges.
func (e *Environment) Wire(ctx context.Context) (io.ReadCloser, error) {
	servers := map[string]link{}
	mine := map[string]bool{}
	for _, l := range e.where.Links {
		if l.Squall != "" {
			servers[l.Squall] = l
			mine[l.Edge] = true
		}
	}
	r, w := io.Pipe()
	var logs []io.ReadCloser
	for _, l := range servers {
		log, err := e.squall(l).Wire(ctx)
		if err != nil {
			return nil, err
		}
		logs = append(logs, log)
	}
	go join(ctx, w, logs)
	return r, nil
}

// Events delivers nothing: nobody tells us.
func (e *Environment) Events() <-chan targets.Event { return e.events }

// Renew extends the leases at squall proxies and at the watchdog.
func (e *Environment) Renew(ctx context.Context) error {
	var errs []error
	done := map[string]bool{}
	for _, l := range e.where.Links {
		if l.Squall == "" || done[l.Squall] {
			continue
		}
		done[l.Squall] = true
		_, err := e.squall(l).RenewOwner(ctx, e.cfg.Owner, e.cfg.Lease)
		errs = append(errs, err)
	}
	if e.guard != nil {
		errs = append(errs, e.guard.Renew(ctx, e.cfg.Owner, e.cfg.Lease))
	}
	return errors.Join(errs...)
}

// Locator is for Attach.
func (e *Environment) Locator() json.RawMessage {
	text, _ := json.Marshal(e.where) // plain data never fails
	return text
}
