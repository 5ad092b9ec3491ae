package process

import (
	"syscall"
	"time"
)

// stopSignals ask a service to end.
var stopSignals = map[string]syscall.Signal{
	"": syscall.SIGTERM, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "HUP": syscall.SIGHUP,
}

// Pauses before a service is started again by its restart policy, as Docker
// has them: doubled each time, from anew once it has run for a while.
const (
	againFirst   = 100 * time.Millisecond
	againLongest = 10 * time.Second
	againAfter   = 10 * time.Second
)

// wanted forgets that a fault had ended the service: somebody starts it on purpose.
func (s *service) wanted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.falls = "", 0
}

// asked notes that a fault asks the process to end: then it stays down.
func (s *service) asked(sig syscall.Signal) {
	if sig != syscall.SIGKILL && sig != syscall.SIGTERM {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = sig.String()
}

// again starts a service anew if it ended by itself and its policy says so.
// What a fault has ended, or holds, is the fault's to start.
func (k *keeper) again(s *service, c *child) {
	if s.launch.Restart == "" || s.launch.Restart == "never" || s.launch.Restart == "on-failure" && c.cmd.ProcessState.Success() {
		return
	}
	if !pause(k.life, s.nextPause(c)) {
		return
	}
	s.mu.Lock()
	stays := s.ended != "" || s.child != c
	s.mu.Unlock()
	if stays || len(s.holds.names()) > 0 {
		return
	}
	_ = k.startAny(k.life, s) // one that is not ready in time says so in its log, and has its next turn when it ends
}

func (s *service) nextPause(c *child) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(c.started) > againAfter {
		s.falls = 0
	}
	s.falls++
	return min(againFirst<<min(s.falls-1, 10), againLongest)
}
