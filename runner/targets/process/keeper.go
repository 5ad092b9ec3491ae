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
	"squall/runner/targets"
)

// keeper is the supervisor's heart: the processes of one environment.
type keeper struct {
	spawn    *spawner
	ready    readiness
	events   *hub
	changed  func(map[string]faults.ProcessID) // told who is alive, after every start and end
	services map[string]*service               // fixed; the proxy is one of them
	watchers sync.WaitGroup
}

// service is one entry of the keeper.
type service struct {
	launch launch
	log    *logFile
	ending atomic.Bool // set under mu

	mu    sync.Mutex
	child *child // the last one started
}

var (
	errNoService = errors.New("no such service")
	errEnding    = errors.New("the environment is ending")
)

// newKeeper opens the logs; it starts nothing.
func newKeeper(bp *blueprint, logs string, changed func(map[string]faults.ProcessID)) (*keeper, error) {
	k := &keeper{
		spawn: newSpawner(), ready: newReadiness(), events: newHub(),
		changed: changed, services: map[string]*service{},
	}
	for _, l := range append(slices.Clone(bp.Services), bp.Proxy) {
		log, err := openLog(filepath.Join(logs, l.Name+".log"), logLimit)
		if err != nil {
			_ = k.end()
			return nil, err
		}
		k.services[l.Name] = &service{launch: l, log: log}
	}
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
	c, fresh, err := k.ensure(s)
	if err != nil {
		return err
	}
	if fresh {
		k.save()
	}
	if err := k.ready.wait(ctx, s.launch, c.ended); err != nil {
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

// end ends all services at once and the proxy after them. It is called once.
func (k *keeper) end() error {
	for _, s := range k.services {
		s.mu.Lock()
		s.ending.Store(true)
		s.mu.Unlock()
	}
	var all sync.WaitGroup
	failed := make(chan error, len(k.services))
	for name, s := range k.services {
		if name != proxyName {
			all.Go(func() { failed <- s.end() })
		}
	}
	all.Wait()
	if s, ok := k.services[proxyName]; ok {
		failed <- s.end()
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

func (s *service) end() error {
	c := s.current()
	if c == nil {
		return nil
	}
	if err := c.end(s.launch.Stop); err != nil {
		return fmt.Errorf("end %s: %w", s.launch.Name, err)
	}
	return nil
}
