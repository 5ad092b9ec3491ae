// The instances that the autoscaler has started.
//
// Answers: processes that must be started like the others of their service, and
// must never outlive the autoscaler: it alone would end them.
// Numbers: an instance that leaves gets SIGTERM and drains, which it does
// within 2.5 s; SIGKILL after 2.8 s, below the 3 s that the autoscaler itself is
// given. Names are numbered from 11 on: those below are for the replicas of the
// system file.
// Costs: about 25 MB each.
// Breaks without it: TestScaleOutAndIn, TestChildrenEndWithAutoscaler. Off
// switch: none.

package autoscaler

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"squall/sample-system/internal/service"
)

const (
	firstNumber = 11
	drainTime   = 2800 * time.Millisecond
)

// fleet starts and ends instances. All its methods are for one goroutine, which
// must keep to one OS thread: children are tied to the thread that started them.
type fleet struct {
	service string
	program string
	host    string // to listen on, as the autoscaler does
	environ func() []string
	stderr  io.Writer
	log     *slog.Logger
	names   map[string]bool // all that were ever started
	running []*child        // oldest first
	leaving sync.WaitGroup
}

// child is an instance and its process.
type child struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has been waited for
}

func newFleet(h *service.Host, of string) (*fleet, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("set up fleet: %w", err)
	}
	host, _, err := net.SplitHostPort(h.Listen)
	if err != nil {
		return nil, fmt.Errorf("set up fleet: %w", err)
	}
	return &fleet{service: of, program: program, host: host, environ: os.Environ, stderr: h.Log, log: h.Logger, names: map[string]bool{}}, nil
}

// start adds an instance, which finds itself free ports and registers.
func (f *fleet) start() (name string, err error) {
	name = fmt.Sprintf("%s-%d", f.service, firstNumber+len(f.names))
	cmd := exec.Command(f.program, f.service)
	free := net.JoinHostPort(f.host, "0")
	cmd.Env = append(f.environ(), "SHOP_NAME="+name, "SHOP_LISTEN="+free, "SHOP_OPS="+free)
	cmd.Stdout, cmd.Stderr = f.stderr, f.stderr
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	go func() { // ends with the process, which stopAll sees to
		defer close(c.ended)
		err := cmd.Wait()
		f.log.Info("instance ended", "name", name, "error", err)
	}()
	f.names[name] = true
	f.running = append(f.running, c)
	return name, nil
}

// reap forgets the instances that have ended by themselves, and names them.
func (f *fleet) reap() (names []string) {
	f.running = slices.DeleteFunc(f.running, func(c *child) bool {
		select {
		case <-c.ended:
			names = append(names, c.name)
			return true
		default:
			return false
		}
	})
	return names
}

// stop has the youngest instance drain, and does not wait for its end.
func (f *fleet) stop() (name string) {
	c := f.running[len(f.running)-1]
	f.running = f.running[:len(f.running)-1]
	f.leaving.Go(c.end)
	return c.name
}

// stopAll drains all instances at once and waits for their end.
func (f *fleet) stopAll() {
	for len(f.running) > 0 {
		f.stop()
	}
	f.leaving.Wait()
}

func (c *child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case <-c.ended:
	case <-time.After(drainTime):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}
