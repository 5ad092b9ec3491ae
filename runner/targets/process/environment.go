package process

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"squall/faults"
	"squall/runner/targets"
	"squall/runner/targets/ports"
	"squall/scenarios/spec"
)

// upAttempts bounds how often Up starts all over because another program took
// a port in the moment between our giving it up and its user binding it.
const upAttempts = 3

// Environment implements targets.Environment with local processes. It goes up
// and down once.
type Environment struct {
	cfg    Config
	events *feed

	life sync.Mutex // held by Up and Down, so they exclude each other
	mu   sync.Mutex
	sess *session // nil while down
	over bool
}

var _ targets.Environment = (*Environment)(nil)

var (
	errNotUp = errors.New("environment is not up")
	errOver  = errors.New("environment has ended; it goes up only once")
)

// New makes an environment; it starts nothing.
func New(cfg Config) *Environment {
	if cfg.Environ == nil {
		cfg.Environ = os.Environ()
	}
	return &Environment{cfg: cfg, events: newFeed(feedSize)}
}

// Up starts what is not running and returns when all is ready. When it fails,
// what it started has ended. The error of a service that ended early has the
// last lines of its log.
func (e *Environment) Up(ctx context.Context) error {
	e.life.Lock()
	defer e.life.Unlock()
	if e.over {
		return errOver
	}
	if s := e.session(); s != nil {
		return s.startServices(ctx, func(string) {})
	}
	if missing := Missing(e.cfg.System, e.cfg.Environ); len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	var err error
	for range upAttempts {
		if err = e.attempt(ctx); err == nil || !portTaken(err) {
			break
		}
	}
	return err
}

// portTaken looks at the text, since most of these errors come out of the logs
// of other processes.
func portTaken(err error) bool {
	return strings.Contains(err.Error(), "address already in use") || strings.Contains(err.Error(), "port is already allocated")
}

func (e *Environment) attempt(ctx context.Context) error {
	free := ports.New()
	defer free.ReleaseAll()
	at, err := e.site()
	if err != nil {
		return err
	}
	if err := place(free, e.cfg.System, &at); err != nil {
		return err
	}
	bp, err := e.blueprint(ctx, &at)
	if err != nil {
		return err
	}
	s, err := openSession(ctx, e.cfg, bp, at.folder)
	if err != nil {
		return err
	}
	if err := s.build(ctx, e.cfg, free, at, e.events.put); err != nil {
		return errors.Join(err, s.end(context.WithoutCancel(ctx)))
	}
	e.setSession(s)
	return nil
}

// blueprint draws processes, or the containers of a compose project.
func (e *Environment) blueprint(ctx context.Context, at *site) (*blueprint, error) {
	if e.cfg.System.Spec.Target != spec.TargetCompose {
		return draw(e.cfg.System, e.cfg.Defects, *at)
	}
	var err error
	if at.composed, err = readProject(ctx, e.cfg, *at); err != nil {
		return nil, err
	}
	return at.composed.draw(e.cfg.Defects, *at)
}

// notInID are characters that would not do in a folder name.
var notInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// site decides all but the addresses. The ID is unique even among attempts.
func (e *Environment) site() (site, error) {
	stateDir, err := filepath.Abs(e.cfg.StateDir)
	if err != nil {
		return site{}, fmt.Errorf("state folder: %w", err)
	}
	id := notInID.ReplaceAllString(e.cfg.Owner, "-") + "-" + strings.ToLower(rand.Text()[:8])
	at := site{
		id: id, owner: e.cfg.Owner, folder: filepath.Join(environmentsDir(stateDir), id),
		self: e.cfg.Self, inherit: inherited(e.cfg.Environ), environ: e.cfg.Environ, needs: e.cfg.Needs, traces: e.cfg.Traces,
	}
	if e.cfg.System.Spec.Target == spec.TargetProcess && at.anyNeeds(faults.NeedsMemory) {
		parent, err := faults.FindMemoryCgroup()
		if err != nil {
			return site{}, err
		}
		at.cgroup = faults.MemoryCgroup{Dir: filepath.Join(parent.Dir, "squall-"+id), Unified: parent.Unified}
	}
	return at, nil
}

// Down ends everything and returns when all is gone. When ctx ends it kills
// instead of asking. Idempotent, and harmless after a failed Up.
func (e *Environment) Down(ctx context.Context) error {
	e.life.Lock()
	defer e.life.Unlock()
	e.over = true
	var err error
	if s := e.session(); s != nil {
		err = s.end(ctx)
	}
	if err == nil {
		e.setSession(nil)
	}
	e.events.close()
	return err
}

func (e *Environment) session() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sess
}

func (e *Environment) setSession(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sess = s
}

// Target resolves an instance, or "caller -> callee" of two instances.
func (e *Environment) Target(name string) (faults.Target, error) {
	s := e.session()
	if s == nil {
		return nil, fmt.Errorf("target %q: %w", name, errNotUp)
	}
	return s.world.target(name)
}

// Services lists the instances that can be scraped and asked, sorted by name.
func (e *Environment) Services() []targets.Service {
	if s := e.session(); s != nil {
		return s.world.bp.public()
	}
	return nil
}

// ClientEnv has the variables of the edges whose caller is "client".
func (e *Environment) ClientEnv() map[string]string {
	if s := e.session(); s != nil {
		return maps.Clone(s.world.bp.ClientEnv)
	}
	return nil
}

// Wire streams what the link proxy sees until ctx ends.
func (e *Environment) Wire(ctx context.Context) (io.ReadCloser, error) {
	s := e.session()
	if s == nil {
		return nil, fmt.Errorf("wire: %w", errNotUp)
	}
	return s.world.links.Wire(ctx)
}

// Events delivers what happens to processes until Down. At most 1024 events
// wait for the reader; what does not fit is counted in an event "dropped".
// Nobody follows the events of a detached environment.
func (e *Environment) Events() <-chan targets.Event { return e.events.ch }

// Renew extends the life of the environment and the leases of the owner's
// stages by the lease time.
func (e *Environment) Renew(ctx context.Context) error {
	s := e.session()
	if s == nil {
		return fmt.Errorf("renew: %w", errNotUp)
	}
	return s.world.renew(ctx, e.cfg.Owner, e.cfg.Lease)
}

// Snapshot has "process INSTANCE", "holds on INSTANCE", "clock of INSTANCE",
// "memory limit of INSTANCE" and "disk of SERVICE" where there are such, "proxy PROXY" and "stages of PROXY".
func (e *Environment) Snapshot(ctx context.Context) (map[string]string, error) {
	s := e.session()
	if s == nil {
		return nil, fmt.Errorf("snapshot: %w", errNotUp)
	}
	return s.world.snapshot(ctx)
}

// Locator is for Attach; nil while the environment is not up.
func (e *Environment) Locator() json.RawMessage {
	if s := e.session(); s != nil {
		return encodeLocator(s.world.bp.ID, s.folder)
	}
	return nil
}
