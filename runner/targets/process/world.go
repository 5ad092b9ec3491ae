package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
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
	return &world{bp: bp, ctl: newClient(control, token), links: proxy.NewClient(bp.ProxyURL).WithToken(bp.ProxyToken)}
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
			return w.serviceTarget(name), nil
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
	switch l.Protocol {
	case "nats":
		return &busTarget{Link: through, url: addressFor(l.Protocol, l.direct())}
	case "postgres":
		return &databaseTarget{Link: through, link: l, links: w.links}
	}
	return through
}

// serviceTarget is a service; one that nats edges lead to is a broker as well.
func (w *world) serviceTarget(name string) faults.Target {
	service := &serviceTarget{name: name, ctl: w.ctl}
	for _, l := range w.bp.Links {
		if l.Protocol == "nats" && l.callee() == name {
			return &busNodeTarget{serviceTarget: service, url: addressFor(l.Protocol, l.direct())}
		}
	}
	return service
}

// direct is the callee's own address, past the proxy and from here.
func (l link) direct() string { return cmp.Or(l.Direct, l.Upstream) }

func (l link) callee() string {
	_, callee, _ := strings.Cut(l.Edge, " -> ")
	return callee
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
	facts, err := w.ctl.facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot of holds: %w", err)
	}
	maps.Copy(picture, facts)
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

// busNodeTarget is a service that is a node of a broker.
type busNodeTarget struct {
	*serviceTarget
	url string
}

// URL is the node's own address, past the proxies.
func (b *busNodeTarget) URL() string { return b.url }

// databaseTarget is an edge to a PostgreSQL server.
type databaseTarget struct {
	faults.Link
	link  link
	links *proxy.Client
}

// DSN is the server's own address, past the proxy. The password, if there is
// one, is looked up each time and kept nowhere.
func (d *databaseTarget) DSN() (string, error) {
	login := d.link.Database
	if login == nil {
		return "", fmt.Errorf("%s has no database in the system file to log in to", d.link.callee())
	}
	u := url.URL{
		Scheme: d.link.Protocol, Host: d.link.direct(), User: url.User(login.User), Path: "/" + login.Name,
		RawQuery: url.Values{"sslmode": {login.TLS}}.Encode(),
	}
	if login.PasswordEnv != "" {
		password, set := os.LookupEnv(login.PasswordEnv)
		if !set {
			return "", fmt.Errorf("%s is not set: it has the password for %s", login.PasswordEnv, d.link.callee())
		}
		u.User = url.UserPassword(login.User, password)
	}
	return u.String(), nil
}

// Sources are where the proxy's live connections to the server come from.
func (d *databaseTarget) Sources(ctx context.Context) ([]netip.AddrPort, error) {
	return d.links.Sources(ctx, d.link.Proxy)
}

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

// PutHold has the supervisor do something to the service until DeleteHold.
func (s *serviceTarget) PutHold(ctx context.Context, id string, h faults.Hold) error {
	return s.ctl.hold(ctx, s.name, id, h)
}

// DeleteHold returns when what the hold did is undone. It is idempotent.
func (s *serviceTarget) DeleteHold(ctx context.Context, id string) error {
	return s.ctl.unhold(ctx, s.name, id)
}

// HoldStatus measures, or returns faults.ErrNoHold.
func (s *serviceTarget) HoldStatus(ctx context.Context, id string) (faults.Evidence, error) {
	return s.ctl.holdStatus(ctx, s.name, id)
}

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
