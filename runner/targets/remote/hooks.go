package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"squall/faults"
	"squall/runner/targets"
	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// States of a process, as faults.Process tells them.
const (
	stateRunning = "running"
	stateStopped = "stopped"
	stateDead    = "dead"
)

// state is what somebody says of a service.
type state struct {
	says string
	id   faults.ProcessID // of this start; not a process of this machine
}

// acts are how a service is looked at and acted on: by hooks or by Docker.
type acts interface {
	now(ctx context.Context) (state, error)
	signal(ctx context.Context, sig string) error // KILL, TERM, STOP, CONT
	start(ctx context.Context) error
	startCommand() []string // what start does, for a person to run
	contCommand() []string  // likewise of CONT
}

// byHand adds to an undo that failed what a person can run in its place.
func byHand(err error, command []string) error {
	if err == nil || len(command) == 0 || errors.Is(err, faults.ErrNotRunning) {
		return err
	}
	return fmt.Errorf("%w%s%s", err, targets.ByHand, targets.Shell(command...))
}

// process is a service that may be signalled and started.
type process struct {
	name string
	acts
}

func (e *Environment) process(name string) (*process, error) {
	s := e.where.Services[name]
	if s.Hooks != nil {
		return &process{name, hooks{*s.Hooks, e.cfg.Getenv}}, nil
	}
	return &process{name, container{s.Container}}, nil
}

// Name of the service.
func (p *process) Name() string { return p.name }

// Identity of what runs now.
func (p *process) Identity(ctx context.Context) (faults.ProcessID, error) {
	s, err := p.now(ctx)
	if err == nil && s.says == stateDead {
		err = fmt.Errorf("identify %s: %w", p.name, faults.ErrNotRunning)
	}
	return s.id, err
}

// Signal acts on the start id, and on no later one.
func (p *process) Signal(ctx context.Context, id faults.ProcessID, sig string) error {
	s, err := p.now(ctx)
	if err != nil {
		return err
	}
	if s.says == stateDead || s.id != id {
		return faults.ErrNotRunning
	}
	err = p.signal(ctx, sig)
	if sig == "CONT" {
		err = byHand(err, p.contCommand())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// State of the start id: running, stopped or dead.
func (p *process) State(ctx context.Context, id faults.ProcessID) (string, error) {
	s, err := p.now(ctx)
	if err == nil && s.id != id {
		return stateDead, nil
	}
	return s.says, err
}

// Start starts it if it is dead, and waits until it is seen running.
func (p *process) Start(ctx context.Context) error {
	return byHand(p.startAndSee(ctx), p.startCommand())
}

func (p *process) startAndSee(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for started := false; ; {
		s, err := p.now(ctx)
		switch {
		case err != nil:
		case s.says != stateDead:
			return nil
		case !started:
			if err := p.start(ctx); err != nil {
				return err
			}
			started = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start %s: %w", p.name, context.Cause(ctx)), err)
		}
	}
}

// hooks are commands of the system file.
type hooks struct {
	spec.Hooks
	getenv func(string) string
}

func (h hooks) now(ctx context.Context) (state, error) {
	out, err := h.run(ctx, h.Hooks.State)
	if err != nil {
		return state{}, fmt.Errorf("state: %w", err)
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(out), " ")
	switch word {
	case stateRunning, stateStopped:
		sum := fnv.New64a()
		sum.Write([]byte(strings.TrimSpace(rest)))
		return state{word, faults.ProcessID{PID: int(sum.Sum64() >> 33), Start: sum.Sum64()}}, nil
	case stateDead:
		return state{says: word}, nil
	}
	return state{}, fmt.Errorf("state: %s says %q, expected running, stopped or dead", strings.Join(h.Hooks.State, " "), strings.TrimSpace(out))
}

func (h hooks) signal(ctx context.Context, sig string) error {
	pick := func(hook *spec.Hook, name string, undo bool) error {
		if hook == nil {
			return fmt.Errorf("it has no hook %s", name)
		}
		command := hook.Do
		if undo {
			command = hook.Undo
		}
		_, err := h.run(ctx, command)
		return err
	}
	switch sig {
	case "KILL", "TERM":
		return pick(h.Kill, "kill", false)
	case "STOP":
		return pick(h.Pause, "pause", false)
	case "CONT":
		return pick(h.Pause, "pause", true)
	}
	return fmt.Errorf("there is no hook for signal %s", sig)
}

func (h hooks) start(ctx context.Context) error {
	if h.Kill == nil {
		return errors.New("it has no hook kill, whose undo would start it")
	}
	_, err := h.run(ctx, h.Kill.Undo)
	return err
}

func (h hooks) startCommand() []string { return undoOf(h.Kill) }
func (h hooks) contCommand() []string  { return undoOf(h.Pause) }

func undoOf(h *spec.Hook) []string {
	if h == nil {
		return nil
	}
	return h.Undo
}

// run runs one command with nothing of our environment but what the file names.
// Its output may be in an error; what its variables hold is taken out of that.
func (h hooks) run(ctx context.Context, command []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, max(time.Duration(h.Timeout), 100*time.Millisecond))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + h.getenv("PATH"), "HOME=" + h.getenv("HOME")}
	var secrets []string
	for _, name := range h.Env {
		cmd.Env = append(cmd.Env, name+"="+h.getenv(name))
		if v := h.getenv(name); v != "" {
			secrets = append(secrets, v, "["+name+"]")
		}
	}
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		said := strings.NewReplacer(secrets...).Replace(failed.String())
		return "", fmt.Errorf("%s: %w: %.300s", strings.Join(command, " "), err, strings.TrimSpace(said))
	}
	return string(out), nil
}

// container is a container that somebody else has made.
type container struct{ name string }

func (c container) now(ctx context.Context) (state, error) {
	st, err := docker.Inspect(ctx, c.name)
	if err != nil {
		return state{}, err
	}
	return state{st.State, faults.ProcessID{PID: st.PID, Start: st.Start}}, nil
}

func (c container) signal(ctx context.Context, sig string) error {
	return docker.Signal(ctx, c.name, sig)
}

func (c container) start(ctx context.Context) error { return docker.Start(ctx, c.name) }

func (c container) startCommand() []string { return []string{"docker", "start", c.name} }
func (c container) contCommand() []string  { return []string{"docker", "unpause", c.name} }
