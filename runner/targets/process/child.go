package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"squall/faults"
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
	id    faults.ProcessID
	cmd   *exec.Cmd
	ended chan struct{} // closed after reaping

	mu     sync.Mutex
	reaped bool
}

// startChild starts the process; watch must be called once afterwards.
func startChild(spawn *spawner, l launch, out *logFile) (*child, error) {
	if err := os.MkdirAll(l.Dir, passable()); err != nil {
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	cmd := exec.Command(l.Command[0], l.Command[1:]...)
	cmd.Dir, cmd.Env = l.Dir, l.Env
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = childAttr()
	if err := spawn.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", l.Name, err)
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	var err error
	if c.id, err = identify(cmd.Process.Pid); err != nil {
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
		if err := syscall.Kill(-id.PID, sig); err != nil {
			if errors.Is(err, syscall.ESRCH) {
				return faults.ErrNotRunning
			}
			return fmt.Errorf("signal %d: %w", id.PID, err)
		}
	}
	sent()
	return nil
}

func (c *child) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return stateDead
	}
	return stateOf(c.id)
}

// end asks the process to end, and kills it after stop. A paused process is
// resumed, or it could not follow.
func (c *child) end(stop time.Duration) error {
	quietly := func() {}
	_ = c.signal(c.id, quietly, syscall.SIGTERM, syscall.SIGCONT)
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
