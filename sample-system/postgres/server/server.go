package server

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long the output of a program is waited for after its end,
// in case a child of its own still holds the pipe.
const outputGrace = time.Second

// How a server is ended.
const (
	// Fast ends the sessions, and hands everything to the standby first.
	Fast = syscall.SIGINT
	// Immediate stops all processes at once; the next start recovers from the log.
	Immediate = syscall.SIGQUIT
)

// Server is a running PostgreSQL server. It dies with this process: the kernel
// sends it Immediate.
type Server struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex // a signal must not meet a process that is reaped already
	ended bool
	err   error
}

// Start starts a server on a data folder, with settings besides those in its
// files, and its log on log.
func (i *Installation) Start(dir string, settings map[string]string, log io.Writer) (*Server, error) {
	args := []string{"-D", dir}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	s := &Server{cmd: i.command(context.Background(), "postgres", args...), done: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	started := make(chan error, 1)
	go s.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return s, nil
}

func (s *Server) run(started chan<- error) {
	ended := make(chan error, 1)
	defer close(s.done)
	runLocked(s.cmd, started, ended)
	s.mu.Lock()
	s.ended = true
	select {
	case s.err = <-ended:
	default: // it was never started
	}
	s.mu.Unlock()
}

// runLocked starts a program and waits for it on one OS thread: the kernel
// sends the parent-death signal when the thread that started it ends.
func runLocked(cmd *exec.Cmd, started, ended chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		ended <- cmd.Wait()
	}
}

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is how the server ended.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stop ends the server in the given way, after patience by Immediate, and at
// last by SIGKILL, and waits for its end.
func (s *Server) Stop(how syscall.Signal, patience time.Duration) {
	s.signal(how)
	for _, next := range []syscall.Signal{Immediate, syscall.SIGKILL} {
		t := time.NewTimer(patience)
		select {
		case <-s.done:
			t.Stop()
			return
		case <-t.C:
			s.signal(next)
		}
	}
	<-s.done
}

// signal does nothing once the server has ended.
func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		_ = s.cmd.Process.Signal(sig) // fails only if the process is gone
	}
}
