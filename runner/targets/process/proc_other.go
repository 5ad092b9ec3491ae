//go:build !linux

package process

import (
	"errors"
	"syscall"
	"time"

	"squall/faults"
)

// Only Linux tells processes apart beyond doubt (start time in /proc) and ends
// children with their parent; elsewhere Supervise refuses to start anything.
var errUnsupported = errors.New("process target: supported on linux only")

func childAttr() *syscall.SysProcAttr { return nil }

func supervisorAttr(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func detach(string) {}

func mounted(string) bool { return false }

func identify(int) (faults.ProcessID, error) { return faults.ProcessID{}, errUnsupported }

func stateOf(faults.ProcessID) string { return stateDead }

func dying(faults.ProcessID) bool { return false }

func awaitExit(int) error { return errUnsupported }

func signalExactly(faults.ProcessID, syscall.Signal) error { return errUnsupported }

func marked(string) []faults.ProcessID { return nil }

func cpuTime(int) time.Duration { return 0 }

func family(pid int) []int { return []int{pid} }

type readCounter struct{}

func countReads(string) (*readCounter, error) { return nil, errUnsupported }

func (*readCounter) receipt() faults.Receipt { return faults.Receipt{} }

func (*readCounter) close() {}
