package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"squall/faults/proxy"
	"squall/runner/targets"
	"squall/runner/targets/ports"
)

// session is the runner's side of one supervisor.
type session struct {
	world    *world
	folder   string
	cmd      *exec.Cmd
	lifeline *os.File // write end of the supervisor's standard input

	ending   atomic.Bool
	unfollow context.CancelFunc
	followed sync.WaitGroup
}

// openSession starts a supervisor and returns when it takes orders.
func openSession(ctx context.Context, cfg Config, bp *blueprint, folder string) (*session, error) {
	runDir, err := filepath.Abs(cfg.RunDir)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	o := order{
		Blueprint: bp, Folder: folder, Logs: filepath.Join(runDir, "logs"),
		Lease: cfg.Lease, Detached: cfg.Detached,
	}
	s := &session{folder: folder, unfollow: func() {}}
	said, err := s.launch(cfg, o.Logs, bp.Disk != nil)
	if err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	defer func() { _ = said.Close() }()
	hello, err := s.greet(ctx, o, said)
	if err != nil {
		_ = s.lifeline.Close()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		return nil, fmt.Errorf("start supervisor: %w", errors.Join(err, clean(bp, folder)))
	}
	s.world = newWorld(bp, hello.Control, hello.Token)
	return s, nil
}

// launch starts the process, in a session of its own: a Ctrl-C in the runner's
// terminal is for the runner, which then ends the environment in order. Where
// disks of ours are to be mounted, it has a mount namespace of its own.
func (s *session) launch(cfg Config, logs string, mounts bool) (said *os.File, err error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(logs, supervisorName+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	in, lifeline, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	said, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close(), in.Close(), lifeline.Close())
	}
	s.cmd = exec.Command(cfg.Self[0], append(cfg.Self[1:len(cfg.Self):len(cfg.Self)], "supervise")...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = in, out, log
	s.cmd.Env = inherited(cfg.Environ, dockerVariables...)
	s.cmd.SysProcAttr = supervisorAttr(mounts)
	s.lifeline = lifeline
	err = s.cmd.Start()
	_, _, _ = in.Close(), out.Close(), log.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(err, said.Close(), lifeline.Close())
	}
	return said, nil
}

// greet sends the order and waits, in bounded time, for the answer.
func (s *session) greet(ctx context.Context, o order, said *os.File) (greeting, error) {
	var hello greeting
	text, err := json.Marshal(o)
	if err != nil {
		return hello, err
	}
	deadline := time.Now().Add(greetingTimeout)
	for _, f := range []*os.File{s.lifeline, said} {
		if err := f.SetDeadline(deadline); err != nil {
			return hello, err
		}
		defer context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Now()) })()
	}
	if _, err := s.lifeline.Write(append(text, '\n')); err != nil {
		return hello, errors.Join(ctx.Err(), err)
	}
	line, err := bufio.NewReader(said).ReadBytes('\n')
	if err != nil {
		return hello, errors.Join(ctx.Err(), fmt.Errorf("it said nothing (see its log %s): %w", filepath.Join(o.Logs, supervisorName+".log"), err))
	}
	if err := json.Unmarshal(line, &hello); err != nil {
		return hello, fmt.Errorf("it said %q: %w", line, err)
	}
	if hello.Error != "" {
		return hello, errors.New(hello.Error)
	}
	return hello, nil
}

// build brings everything up under a supervisor that runs. It is the heartbeat
// meanwhile, since the runner's begins only afterwards.
func (s *session) build(ctx context.Context, cfg Config, free *ports.Held, at site, tell func(targets.Event)) error {
	if !cfg.Detached {
		if err := s.follow(ctx, tell); err != nil {
			return err
		}
		defer s.beat(ctx, cfg.Owner, cfg.Lease)()
	}
	free.Release(at.api)
	if at.composed != nil {
		for _, l := range s.world.bp.Links {
			free.Release(l.Tells)
		}
		if err := at.composed.create(ctx); err != nil {
			return err
		}
	}
	if err := s.world.ctl.start(ctx, proxyName); err != nil {
		return err
	}
	if at.composed != nil {
		if err := at.composed.settle(ctx, s.world.bp); err != nil {
			return err
		}
	}
	if s.world.bp.Disk != nil {
		free.Release(at.disk)
		if err := s.world.ctl.start(ctx, diskName); err != nil {
			return err
		}
	}
	for _, l := range s.world.bp.Links {
		free.Release(l.Listen)
		if err := s.world.makeLink(ctx, l); err != nil {
			return err
		}
	}
	return s.startServices(ctx, func(name string) {
		for _, port := range cfg.System.Spec.Services[name].Ports {
			free.Release(at.services[name+"."+port])
		}
	})
}

func (w *world) makeLink(ctx context.Context, l link) error {
	_, err := w.links.CreateProxy(ctx, proxy.Proxy{
		Name: l.Proxy, Listen: l.Listen, Upstream: l.Upstream, Enabled: true,
		Protocol: l.Protocol, Edge: l.Edge, Service: l.Service,
	})
	if err != nil {
		return fmt.Errorf("make proxy of %s: %w", l.Edge, err)
	}
	return nil
}

// startServices starts all at once: which needs which is theirs to sort out,
// unless a compose file says it.
// The first failure ends the wait for the others.
func (s *session) startServices(ctx context.Context, before func(name string)) error {
	all, ctx := errgroup.WithContext(ctx)
	ready := map[string]chan struct{}{}
	for _, l := range s.world.bp.Services {
		ready[l.Name] = make(chan struct{})
	}
	for _, l := range s.world.bp.Services {
		before(l.Name)
		all.Go(func() error {
			for _, other := range l.After {
				select {
				case <-ready[other]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			err := s.world.ctl.start(ctx, l.Name)
			if err == nil {
				close(ready[l.Name])
			}
			return err
		})
	}
	return all.Wait()
}

// follow passes events on until the environment has ended, and tells it when
// the supervisor went without being asked.
func (s *session) follow(ctx context.Context, tell func(targets.Event)) error {
	ctx, s.unfollow = context.WithCancel(context.WithoutCancel(ctx))
	done, err := s.world.ctl.events(ctx, tell)
	if err != nil {
		return err
	}
	s.followed.Go(func() {
		<-done
		if !s.ending.Load() {
			tell(targets.Event{At: time.Now(), Service: supervisorName, PID: s.cmd.Process.Pid, Event: eventExited, Detail: "its event stream ended"})
		}
	})
	return nil
}

// beat renews the environment's life until the returned function is called.
func (s *session) beat(ctx context.Context, owner string, lease time.Duration) (stop func()) {
	if lease <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = s.world.ctl.renew(ctx, owner, lease) // when it is gone, so is what build waits for
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); beating.Wait() }
}

func (w *world) renew(ctx context.Context, owner string, lease time.Duration) error {
	_, err := w.links.RenewOwner(ctx, owner, lease)
	if err != nil {
		err = fmt.Errorf("renew stages: %w", err)
	}
	return errors.Join(err, w.ctl.renew(ctx, owner, lease))
}

// end asks the supervisor to end everything, insists by the pipe, and kills it
// when it does neither in time or ctx ends; the kernel then kills its children.
// Only what is left afterwards counts as failure, not which way it went.
func (s *session) end(ctx context.Context) error {
	s.ending.Store(true)
	_ = s.world.askDown(ctx)
	_ = s.lifeline.Close()
	exited := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(exited) }()
	patience := time.NewTimer(s.world.bp.longestStop() + s.world.bp.Proxy.Stop + killGrace)
	defer patience.Stop()
	select {
	case <-exited:
	case <-patience.C:
	case <-ctx.Done():
	}
	_ = s.cmd.Process.Kill()
	<-exited
	s.unfollow()
	s.followed.Wait()
	return clean(s.world.bp, s.folder)
}
