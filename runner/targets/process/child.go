package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"squall/faults"
	"squall/runner/targets/docker"
)

// outputGrace is how long we wait for output after a process has ended, in case
// something that left its process group still holds the pipe.
const outputGrace = time.Second

// killGrace is how long the kernel may take to end a killed process.
const killGrace = 5 * time.Second

// child is one running (or ended) process. The supervisor is its parent, so
// until reap the kernel cannot give its PID to anybody else; mu makes signals
// and the reaping exclude each other.
type child struct {
	id      faults.ProcessID
	started time.Time
	cmd     *exec.Cmd
	ended   chan struct{} // closed after reaping

	container string // that the process is attached to; empty: it is the service itself

	said chan struct{} // closed once a line of its output showed that it is ready

	mu     sync.Mutex
	reaped bool
	paused bool // by a fault: SIGSTOP without SIGCONT
	stills int  // throttles that have it stand still now
}

// startChild starts the process; watch must be called once afterwards.
func startChild(spawn *spawner, l launch, out *logFile) (*child, error) {
	if err := os.MkdirAll(l.Dir, passable()); err != nil {
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	cmd := exec.Command(l.Command[0], l.Command[1:]...)
	cmd.Dir, cmd.Env = l.Dir, l.Env
	said := make(chan struct{})
	lines, err := newLineWatch(out, l.Ready.Log, said)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	cmd.Stdout, cmd.Stderr = lines, lines
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = childAttr()
	if err := spawn.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	c := &child{cmd: cmd, started: time.Now(), ended: make(chan struct{}), said: said, container: l.Container}
	if c.id, err = identify(cmd.Process.Pid); err == nil && l.Cgroup != "" {
		err = joinCgroup(l.Cgroup, c.id.PID)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	return c, nil
}

// watch waits for the end of the process, ends what it left in its process
// group, reaps it, tells how it ended, and then closes ended.
func (c *child) watch(tell func(how string)) {
	_ = awaitExit(c.id.PID)
	c.mu.Lock()
	_ = syscall.Kill(-c.id.PID, syscall.SIGKILL) // the group is ours while its leader is a zombie
	c.reaped = true
	c.mu.Unlock()
	err := c.cmd.Wait()
	tell(describeExit(c.cmd.ProcessState, err))
	close(c.ended)
}

func describeExit(state *os.ProcessState, err error) string {
	if state == nil {
		return fmt.Sprint(err)
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return "signal " + ws.Signal().String()
	}
	return fmt.Sprintf("exit code %d", state.ExitCode())
}

// signal sends to the whole process group of id, if that is this process and
// it has not ended; else faults.ErrNotRunning. It calls sent before the end of
// the process can be told.
func (c *child) signal(id faults.ProcessID, sent func(), signals ...syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped || c.id != id || stateOf(id) == stateDead {
		return faults.ErrNotRunning
	}
	for _, sig := range signals {
		if err := c.send(sig); err != nil {
			return err
		}
	}
	sent()
	return nil
}

// send signals the group; mu is held and the process not reaped.
func (c *child) send(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGSTOP:
		c.paused = true
	case syscall.SIGCONT:
		c.paused = false
		if c.stills > 0 {
			return nil // a throttle will continue it
		}
	}
	if c.container != "" {
		return c.sendContainer(sig)
	}
	err := syscall.Kill(-c.id.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return faults.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("signal %d: %w", c.id.PID, err)
	}
	return nil
}

// containerWithin bounds one call to Docker.
const containerWithin = 10 * time.Second

// sendContainer does to a container what a signal does to a process; to
// continue one that is not paused is no error.
func (c *child) sendContainer(sig syscall.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), containerWithin)
	defer cancel()
	names := map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGHUP: "HUP", syscall.SIGSTOP: "STOP", syscall.SIGCONT: "CONT"}
	st, err := docker.Inspect(ctx, c.container)
	switch {
	case err != nil || st.State == stateDead:
		return errors.Join(err, faults.ErrNotRunning)
	case sig == syscall.SIGCONT && st.State != stateStopped:
		return nil
	case sig == syscall.SIGSTOP && st.State == stateStopped:
		return nil
	}
	return docker.Signal(ctx, c.container, names[sig])
}

// still has the process stand still (1) until as many have taken that back (-1).
// To others it runs all the while, only slowly.
func (c *child) still(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return faults.ErrNotRunning
	}
	c.stills += n
	switch {
	case c.paused: // it stands still for another reason
		return nil
	case c.stills > 0:
		return syscall.Kill(-c.id.PID, syscall.SIGSTOP)
	default:
		return syscall.Kill(-c.id.PID, syscall.SIGCONT)
	}
}

func (c *child) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return stateDead
	}
	if c.container != "" && c.paused {
		return stateStopped
	}
	if state := stateOf(c.id); state != stateStopped || c.paused || c.stills == 0 {
		return state
	}
	return stateRunning
}

// end asks the process to end, and kills it after stop. A paused process is
// resumed, or it could not follow.
func (c *child) end(with syscall.Signal, stop time.Duration) error {
	quietly := func() {}
	if c.container != "" {
		_ = c.signal(c.id, quietly, syscall.SIGCONT) // Docker signals no paused container
	}
	_ = c.signal(c.id, quietly, with, syscall.SIGCONT)
	if c.endsWithin(stop) {
		return nil
	}
	_ = c.signal(c.id, quietly, syscall.SIGKILL)
	if c.endsWithin(killGrace) {
		return nil
	}
	return fmt.Errorf("process %d is still there %s after SIGKILL", c.id.PID, killGrace)
}

func (c *child) endsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.ended:
		return true
	case <-t.C:
		return false
	}
}
