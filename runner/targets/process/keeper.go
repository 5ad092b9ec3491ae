package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"squall/faults"
	"squall/faults/disk"
	"squall/runner/targets"
)

// keeper is the supervisor's heart: the processes of one environment.
type keeper struct {
	spawn    *spawner
	ready    readiness
	events   *hub
	changed  func(map[string]faults.ProcessID) // told who is alive, after every start and end
	services map[string]*service               // fixed; our own processes are among them
	disk     *disk.Client                      // nil when no data folder is ours
	volumes  []disk.Volume                     // that it serves
	watchers sync.WaitGroup
	life     context.Context // until the environment is to end
	expiring context.CancelFunc
}

// service is one entry of the keeper.
type service struct {
	launch launch
	calls  bool // it is the caller of an edge
	log    *logFile
	ending atomic.Bool // set under mu
	holds  holds
	clock  *clock
	memory memoryGroup

	mu    sync.Mutex
	child *child // the last one started
	ended string // the last signal by which a fault asked it to end; empty since it was started on purpose
	falls int    // how often in a row it was started again
}

var (
	errNoService = errors.New("no such service")
	errEnding    = errors.New("the environment is ending")
)

// newKeeper opens the logs; it starts no process.
func newKeeper(bp *blueprint, logs string, changed func(map[string]faults.ProcessID)) (*keeper, error) {
	k := &keeper{
		spawn: newSpawner(), ready: newReadiness(), events: newHub(),
		changed: changed, services: map[string]*service{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.life, k.expiring = ctx, cancel
	if bp.Disk != nil {
		k.disk, k.volumes = disk.NewClient(bp.DiskURL), bp.Volumes
	}
	callers := bp.callers()
	for _, l := range slices.Concat(bp.Services, bp.own()) {
		s := &service{launch: l, calls: callers[l.Name], memory: memoryGroup{MemoryCgroup: faults.MemoryCgroup{Dir: l.Cgroup, Unified: bp.Unified}}}
		var err, clockErr error
		s.log, err = openLog(filepath.Join(logs, l.Name+".log"), logLimit, l.hidden()...)
		s.clock, clockErr = newClock(l.Clock)
		if err := errors.Join(err, clockErr); err != nil {
			_ = k.end(0) // nothing runs yet
			return nil, err
		}
		k.services[l.Name] = s
	}
	k.watchers.Go(func() { k.expire(ctx) })
	return k, nil
}

func (k *keeper) find(name string) (*service, error) {
	s, ok := k.services[name]
	if !ok {
		return nil, fmt.Errorf("%w %q, known: %s", errNoService, name, known(k.services))
	}
	return s, nil
}

// start starts a service if it is not running, and waits for its readiness.
func (k *keeper) start(ctx context.Context, name string) error {
	s, err := k.find(name)
	if err != nil {
		return err
	}
	s.wanted()
	return k.startAny(ctx, s)
}

// startAny starts a service on purpose or because of its restart policy.
func (k *keeper) startAny(ctx context.Context, s *service) error {
	name := s.launch.Name
	c, fresh, err := k.ensure(s)
	if err != nil {
		return err
	}
	if fresh {
		k.save()
	}
	if err := k.ready.wait(ctx, s.launch, c); err != nil {
		return fmt.Errorf("start %s: %w%s", name, err, s.lastOutput())
	}
	if fresh {
		k.tell(name, c.id.PID, eventReady, "")
	}
	return nil
}

func (s *service) lastOutput() string {
	lines := lastLines(s.log.path, logLines)
	if lines == "" {
		return "; it wrote nothing to its log"
	}
	return "; its log ends:\n  " + strings.ReplaceAll(lines, "\n", "\n  ")
}

// ensure returns the running process of a service; fresh if it was started now.
func (k *keeper) ensure(s *service) (c *child, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Load() {
		return nil, false, errEnding
	}
	event := eventStarted
	if s.child != nil {
		if s.child.state() != stateDead {
			return s.child, false, nil
		}
		<-s.child.ended // its output and its event come before those of the next
		event = eventRestarted
	}
	if c, err = startChild(k.spawn, s.launch, s.log); err != nil {
		return nil, false, err
	}
	s.child = c
	k.tell(s.launch.Name, c.id.PID, event, strings.Join(s.launch.Command, " "))
	k.watchers.Go(func() {
		c.watch(func(how string) { k.tell(s.launch.Name, c.id.PID, s.endEvent(), how) })
		k.save()
		k.again(s, c)
	})
	return c, true, nil
}

func (s *service) endEvent() string {
	if s.ending.Load() {
		return eventStopped
	}
	return eventExited
}

// signals are those a fault may send, and what is told of each.
var signals = map[string]struct {
	number syscall.Signal
	event  string
}{
	"KILL": {syscall.SIGKILL, eventKilled},
	"TERM": {syscall.SIGTERM, eventKilled},
	"STOP": {syscall.SIGSTOP, eventPaused},
	"CONT": {syscall.SIGCONT, eventResumed},
}

func (k *keeper) signal(name string, id faults.ProcessID, sig string) error {
	s, err := k.find(name)
	if err != nil {
		return err
	}
	known, ok := signals[strings.TrimPrefix(sig, "SIG")]
	if !ok {
		return fmt.Errorf("signal %s: unknown signal %q, known: KILL, TERM, STOP, CONT", name, sig)
	}
	c := s.current()
	if c == nil {
		return faults.ErrNotRunning
	}
	s.asked(known.number)
	return c.signal(id, func() { k.tell(name, id.PID, known.event, "sent "+known.number.String()) }, known.number)
}

func (s *service) current() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

// processState is what the control API tells of a service.
type processState struct {
	ID    faults.ProcessID `json:"id,omitzero"`
	State string           `json:"state"`
}

func (k *keeper) states() map[string]processState {
	out := map[string]processState{}
	for name, s := range k.services {
		out[name] = processState{State: stateDead}
		if c := s.current(); c != nil {
			out[name] = processState{ID: c.id, State: c.state()}
		}
	}
	return out
}

// facts are what faults may change on services besides their processes.
func (k *keeper) facts(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, v := range k.volumes {
		out["disk of "+v.Name] = k.diskSays(ctx, v)
	}
	for name, s := range k.services {
		if name == proxyName || name == diskName {
			continue
		}
		out["holds on "+name] = strings.Join(s.holds.names(), ", ")
		if s.clock.file != "" {
			out["clock of "+name] = s.clock.says()
		}
		if s.memory.Dir != "" {
			out["memory limit of "+name] = s.memory.says()
		}
	}
	return out
}

// diskSays is whether a volume is there, and what it does to whom.
func (k *keeper) diskSays(ctx context.Context, v disk.Volume) string {
	if !mounted(v.Mount) {
		return "not mounted"
	}
	rules, err := k.disk.Rules(ctx, v.Name)
	if err != nil {
		return "mounted, but " + err.Error()
	}
	return "mounted, rules: " + strings.Join(rules, ", ")
}

func (k *keeper) save() {
	alive := map[string]faults.ProcessID{}
	for name, st := range k.states() {
		if st.State != stateDead {
			alive[name] = st.ID
		}
	}
	k.changed(alive)
}

func (k *keeper) tell(name string, pid int, event, detail string) {
	k.events.publish(targets.Event{At: time.Now(), Service: name, PID: pid, Event: event, Detail: detail})
}

// end ends the services, those that only answer after those that call: nobody's
// last work needs a database or a broker that has ended already. Our own processes
// end last. Each has its own time to follow, at most patience. It is called once.
func (k *keeper) end(patience time.Duration) error {
	k.expiring()
	for _, s := range k.services {
		s.mu.Lock()
		s.ending.Store(true)
		s.mu.Unlock()
	}
	for _, s := range k.services {
		s.holds.drop()
	}
	failed := make(chan error, len(k.services))
	for _, wave := range k.waves() {
		var all sync.WaitGroup
		for _, s := range wave {
			all.Go(func() { failed <- s.end(patience) })
		}
		all.Wait()
	}
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err // watchers wait for what does not end
	}
	k.watchers.Wait()
	k.spawn.close()
	for _, s := range k.services {
		_ = s.log.close()
	}
	k.events.close()
	return nil
}

// waves are the services in the order in which they end.
func (k *keeper) waves() (waves [4][]*service) {
	for name, s := range k.services {
		i := 1
		switch {
		case name == proxyName:
			i = 2
		case name == diskName:
			i = 3
		case s.calls:
			i = 0
		}
		waves[i] = append(waves[i], s)
	}
	return waves
}

func (s *service) end(patience time.Duration) error {
	c := s.current()
	if c == nil {
		return nil
	}
	if err := c.end(stopSignals[s.launch.Signal], min(patience, s.launch.Stop)); err != nil {
		return fmt.Errorf("end %s: %w", s.launch.Name, err)
	}
	return nil
}
