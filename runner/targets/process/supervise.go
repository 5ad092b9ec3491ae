package process

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"squall/faults"
)

// SuperviseConfig is how a supervisor is connected to the runner that started it.
type SuperviseConfig struct {
	// In brings one line of JSON, an order. What follows is the lifeline: unless
	// the environment is detached, its end is the end of the environment.
	In io.Reader
	// Out gets one line of JSON when orders can be given, or when they cannot.
	Out io.Writer
}

// order is what the runner asks of a supervisor.
type order struct {
	Blueprint *blueprint    `json:"blueprint"`
	Folder    string        `json:"folder"`
	Logs      string        `json:"logs"`
	Lease     time.Duration `json:"lease"`
	Detached  bool          `json:"detached"`
}

// greeting is the supervisor's answer.
type greeting struct {
	Control string `json:"control,omitempty"`
	Token   string `json:"token,omitempty"`
	Error   string `json:"error,omitempty"`
}

const (
	greetingTimeout = 10 * time.Second
	shutdownTimeout = 2 * time.Second // for answers under way

	// orphanStop is all the time that services have to end when nobody is left to
	// see how they do: enough to close what is open, not to serve what has come.
	orphanStop = time.Second
)

// Supervise holds the processes of one environment until told to end, until
// the runner is gone or silent for its lease, or until ctx, SIGTERM or SIGINT.
// It needs a process of its own, whose death ends its children. It returns when all has ended, with what could not be ended.
func Supervise(ctx context.Context, cfg SuperviseConfig) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// A runner that died before it read our greeting must not end us by SIGPIPE:
	// there is a folder to remove. Not Ignore, which children would inherit.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	in := bufio.NewReader(cfg.In)
	s, err := newSupervisor(in)
	if err != nil {
		_ = json.NewEncoder(cfg.Out).Encode(greeting{Error: err.Error()})
		return fmt.Errorf("supervise: %w", err)
	}
	server := &http.Server{Handler: s.control().handler(), ReadHeaderTimeout: shutdownTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener) }()
	err = json.NewEncoder(cfg.Out).Encode(greeting{Control: s.state.Control, Token: s.state.Token})
	patience := orphanStop
	if err == nil {
		var why string
		why, patience = s.await(ctx, in)
		s.note(why)
	}
	err = errors.Join(err, s.end(patience))
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	_ = server.Shutdown(late)
	<-served
	return err
}

// supervisor is one environment's keeper with its folder and its reasons to end.
type supervisor struct {
	order    order
	keep     *keeper
	listener net.Listener
	log      *logFile
	asked    chan struct{} // somebody called down
	renewed  chan struct{}
	ended    chan struct{} // closed when result is set
	result   error

	mu      sync.Mutex
	state   stateFile
	removed bool
}

func newSupervisor(in *bufio.Reader) (*supervisor, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	s := &supervisor{asked: make(chan struct{}, 1), renewed: make(chan struct{}, 1), ended: make(chan struct{})}
	if err := json.Unmarshal(line, &s.order); err != nil || s.order.Blueprint == nil {
		return nil, fmt.Errorf("read order: %w", errors.Join(err, errors.New("want one line of JSON with a blueprint")))
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, clean(s.order.Blueprint, s.order.Folder))
	}
	return s, nil
}

// open makes everything that commands and children will need.
func (s *supervisor) open() error {
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	if err := s.makeFolders(); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	s.state = stateFile{
		blueprint: *s.order.Blueprint, Since: time.Now(), Detached: s.order.Detached,
		Supervisor: self, Control: "http://" + s.listener.Addr().String(), Token: rand.Text(),
	}
	if err := s.state.write(s.order.Folder); err != nil {
		return err
	}
	if err := makeCgroups(s.order.Blueprint); err != nil {
		return err
	}
	s.keep, err = newKeeper(s.order.Blueprint, s.order.Logs, s.save)
	return err
}

func (s *supervisor) makeFolders() error {
	if err := os.MkdirAll(s.order.Logs, 0o755); err != nil {
		return fmt.Errorf("make log folder: %w", err)
	}
	if err := os.MkdirAll(s.order.Folder, passable()); err != nil {
		return fmt.Errorf("make environment folder: %w", err)
	}
	if err := os.Mkdir(sharedFolder(s.order.Folder), 0o700); err != nil {
		return fmt.Errorf("make shared folder: %w", err)
	}
	for _, v := range s.order.Blueprint.Volumes {
		for _, dir := range []string{v.Backing, v.Mount} {
			if err := os.MkdirAll(dir, passable()); err != nil {
				return fmt.Errorf("make data folder: %w", err)
			}
		}
	}
	var err error
	s.log, err = openLog(filepath.Join(s.order.Logs, supervisorName+".log"), logLimit)
	return err
}

func (s *supervisor) control() *control {
	return &control{
		token: s.state.Token, keep: s.keep,
		renew: func() { offer(s.renewed) },
		down: func(ctx context.Context) error {
			offer(s.asked)
			select {
			case <-s.ended:
				return s.result
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
}

func offer(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is waiting already, and one is enough
	}
}

// await returns the reason to end, and how long a service may take at most.
func (s *supervisor) await(ctx context.Context, lifeline io.Reader) (why string, patience time.Duration) {
	cut := make(chan struct{})
	if !s.order.Detached {
		// Ends with the lifeline, at the latest with this process: a read of
		// standard input cannot be called off.
		go func() {
			_, _ = io.Copy(io.Discard, lifeline)
			close(cut)
		}()
	}
	lease := time.NewTimer(s.order.Lease)
	defer lease.Stop()
	silent := lease.C
	if s.order.Detached || s.order.Lease <= 0 {
		silent = nil
	}
	for {
		select {
		case <-s.renewed:
			lease.Reset(s.order.Lease)
		case <-s.asked:
			return "asked to end", s.order.Blueprint.longestStop()
		case <-cut:
			return "the runner is gone", orphanStop
		case <-silent:
			return fmt.Sprintf("no heartbeat of the runner for %s", s.order.Lease), orphanStop
		case <-ctx.Done():
			return "ended by a signal", s.order.Blueprint.longestStop()
		}
	}
}

// end ends the processes and removes the folder, in this order: a folder that
// is still there tells Sweep what to look for.
func (s *supervisor) end(patience time.Duration) error {
	err := s.keep.end(patience)
	if err == nil {
		_, err = killMarked(s.state.ID)
	}
	if err == nil {
		err = errors.Join(removeCgroups(s.state.Cgroup), s.state.removeProject())
	}
	if err == nil {
		err = s.remove()
	}
	if err != nil {
		s.note(err.Error())
	}
	_ = s.log.close()
	s.result = err
	close(s.ended)
	return err
}

func (s *supervisor) note(text string) {
	fmt.Fprintf(s.log, "%s %s\n", time.Now().UTC().Format(time.RFC3339Nano), text)
}

// save writes who is alive to env.json. Best effort: should it fail, the marks
// still tell Sweep which processes are ours.
func (s *supervisor) save(alive map[string]faults.ProcessID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return
	}
	s.state.Processes = alive
	if err := s.state.write(s.order.Folder); err != nil {
		s.note(err.Error())
	}
}

func (s *supervisor) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	for _, v := range s.state.Volumes {
		detach(v.Mount) // there still when the disk process was killed
	}
	return removeFolder(s.order.Folder)
}
