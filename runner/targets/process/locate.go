package process

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"squall/faults"
)

// staleAfter is how old a folder without env.json must be to count as left
// behind: a supervisor that just starts has not written it yet.
const staleAfter = time.Minute

// killRounds bounds how often we look for processes that still carry a mark;
// some may fork while we look.
const killRounds = 100

// Attached is an environment that another process runs.
type Attached struct {
	world  *world
	state  *stateFile
	folder string
}

// Attach finds an environment by its locator. The error wraps faults.ErrGone
// when its supervisor is dead, and all of it therefore gone.
func Attach(_ context.Context, where json.RawMessage) (*Attached, error) {
	var l locator
	if err := json.Unmarshal(where, &l); err != nil || l.Kind != locatorKind || l.Folder == "" {
		return nil, fmt.Errorf("attach: locator %s is not one of a process target", where)
	}
	state, err := readStateFile(l.Folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("attach to %s: %w", l.ID, faults.ErrGone)
	case err != nil:
		return nil, fmt.Errorf("attach to %s: %w", l.ID, err)
	case state.ID != l.ID || !state.alive():
		return nil, fmt.Errorf("attach to %s: %w", l.ID, faults.ErrGone)
	}
	return &Attached{world: newWorld(&state.blueprint, state.Control, state.Token), state: state, folder: l.Folder}, nil
}

// Target resolves an instance, or "caller -> callee" of two instances.
func (a *Attached) Target(name string) (faults.Target, error) { return a.world.target(name) }

// Snapshot is that of targets.Environment.
func (a *Attached) Snapshot(ctx context.Context) (map[string]string, error) {
	return a.world.snapshot(ctx)
}

// Renew extends the leases of an owner's faults.
func (a *Attached) Renew(ctx context.Context, owner string, lease time.Duration) error {
	return a.world.renew(ctx, owner, lease)
}

// Down ends the environment and returns when all of it is gone. Idempotent.
func (a *Attached) Down(ctx context.Context) error {
	asked := a.world.askDown(ctx)
	if a.state.alive() && asked != nil {
		if err := signalExactly(a.state.Supervisor, syscall.SIGKILL); err != nil && !errors.Is(err, faults.ErrNotRunning) {
			return fmt.Errorf("end %s: %w", a.state.ID, errors.Join(asked, err))
		}
	}
	return clean(&a.state.blueprint, a.folder)
}

// askDown has the supervisor end the environment, in bounded time.
func (w *world) askDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.bp.longestStop()+w.bp.Proxy.Stop+2*killGrace)
	defer cancel()
	return w.ctl.down(ctx)
}

// Info describes one live environment.
type Info struct {
	ID       string
	System   string
	Since    time.Time
	Owner    string // the run it belongs to
	Detached bool
	ProxyURL string // API of its link proxy
	Services []ServiceInfo
	Edges    []EdgeInfo
	Locator  json.RawMessage // for Attach
}

// ServiceInfo is one instance of a service of a live environment.
type ServiceInfo struct {
	Name string
	URL  string // base URL past the proxies; empty without a port
	PID  int    // 0 when it is not running
}

// EdgeInfo is one edge of a live environment.
type EdgeInfo struct {
	Name     string // "orders -> payments"
	Protocol string
	Listen   string // host:port of its link proxy
}

// List tells the live environments below a state folder, by ID.
func List(stateDir string) ([]Info, error) {
	folders, err := environmentFolders(stateDir)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, folder := range folders {
		if state, err := readStateFile(folder); err == nil && state.alive() {
			out = append(out, describe(state, folder))
		}
	}
	return out, nil
}

func describe(s *stateFile, folder string) Info {
	info := Info{
		ID: s.ID, System: s.System, Since: s.Since, Owner: s.Owner, Detached: s.Detached,
		ProxyURL: s.ProxyURL, Locator: encodeLocator(s.ID, folder),
	}
	for _, l := range s.Services {
		info.Services = append(info.Services, ServiceInfo{Name: l.Name, URL: l.URL, PID: s.Processes[l.Name].PID})
	}
	for _, l := range s.Links {
		info.Edges = append(info.Edges, EdgeInfo{Name: l.Edge, Protocol: l.Protocol, Listen: cmp.Or(l.Tells, l.Listen)})
	}
	return info
}

// Sweep removes what dead supervisors left below a state folder: processes,
// told by PID and start time or by their mark, and folders. It says what it
// did, leaves live environments alone, and is idempotent.
func Sweep(ctx context.Context, stateDir string) ([]string, error) {
	folders, err := environmentFolders(stateDir)
	if err != nil {
		return nil, err
	}
	var done []string
	var errs []error
	for _, folder := range folders {
		if ctx.Err() != nil {
			return done, errors.Join(append(errs, ctx.Err())...)
		}
		did, err := sweepFolder(folder)
		done, errs = append(done, did...), append(errs, err)
	}
	return done, errors.Join(errs...)
}

func sweepFolder(folder string) ([]string, error) {
	id := filepath.Base(folder)
	state, err := readStateFile(folder)
	if err == nil && state.alive() || err != nil && fresh(folder) {
		return nil, nil
	}
	var done []string
	if err == nil {
		for name, p := range state.Processes {
			if signalExactly(p, syscall.SIGKILL) == nil {
				done = append(done, fmt.Sprintf("killed %s (pid %d) of environment %s", name, p.PID, id))
			}
		}
	}
	strays, err := killMarked(id)
	for _, p := range strays {
		done = append(done, fmt.Sprintf("killed process %d, a stray of environment %s", p.PID, id))
	}
	if err == nil && state != nil {
		err = errors.Join(removeCgroups(state.Cgroup), state.removeProject())
	}
	if err != nil {
		return done, err
	}
	if err := removeFolder(folder); err != nil {
		return done, err
	}
	return append(done, "removed environment "+id), nil
}

// fresh says that a folder may belong to a supervisor that is just starting.
func fresh(folder string) bool {
	info, err := os.Stat(folder)
	return err != nil || time.Since(info.ModTime()) < staleAfter
}

// clean removes an environment whose supervisor ended or was killed.
func clean(bp *blueprint, folder string) error {
	if _, err := killMarked(bp.ID); err != nil {
		return err
	}
	if err := errors.Join(removeCgroups(bp.Cgroup), bp.removeProject()); err != nil {
		return err
	}
	return removeFolder(folder)
}

// removeFolder says what to do where it cannot, such as over a mount of somebody else's.
func removeFolder(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove environment folder: %w; by hand: rm -r %s, after umount of what is mounted in it", err, folder)
	}
	return nil
}

func environmentFolders(stateDir string) ([]string, error) {
	dir := environmentsDir(stateDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, filepath.Join(dir, e.Name()))
		}
	}
	return folders, nil
}

// killMarked kills every process with the environment's mark until none is
// left, and tells which. It takes no context: it is short, bounded, and the
// last thing anybody will do about them.
func killMarked(id string) ([]faults.ProcessID, error) {
	var killed []faults.ProcessID
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range killRounds {
		left := marked(id)
		if len(left) == 0 {
			return killed, nil
		}
		for _, p := range left {
			if signalExactly(p, syscall.SIGKILL) == nil {
				killed = append(killed, p)
			}
		}
		<-tick.C
	}
	var byHand strings.Builder
	for _, p := range marked(id) {
		fmt.Fprintf(&byHand, " %d", p.PID)
	}
	return killed, fmt.Errorf("end processes of %s: they do not follow SIGKILL; by hand: kill -9%s", id, byHand.String())
}
