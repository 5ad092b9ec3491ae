package process

import (
	"errors"
	"os/exec"
	"runtime"
)

// spawner starts children from one OS thread that lives as long as it does.
// The kernel sends a child its parent-death signal when the *thread* that
// started it ends, and the Go runtime ends idle threads as it likes.
type spawner struct {
	jobs chan spawnJob
	done chan struct{}
}

type spawnJob struct {
	cmd    *exec.Cmd
	result chan<- error
}

var errSpawnerClosed = errors.New("supervisor is ending")

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan spawnJob), done: make(chan struct{})}
	ready := make(chan struct{})
	go s.run(ready)
	<-ready
	return s
}

// run never unlocks its thread: when it returns, the thread ends, and any
// child still there with it.
func (s *spawner) run(ready chan<- struct{}) {
	runtime.LockOSThread()
	close(ready)
	for {
		select {
		case job := <-s.jobs:
			job.result <- job.cmd.Start()
		case <-s.done:
			return
		}
	}
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	select {
	case s.jobs <- spawnJob{cmd, result}:
		return <-result
	case <-s.done:
		return errSpawnerClosed
	}
}

// close must be called once, when no child is needed any more.
func (s *spawner) close() { close(s.done) }
