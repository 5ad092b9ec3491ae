package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"squall/faults"
)

// childAttr puts a child in a process group of its own, so that what it starts
// is signalled with it, and has the kernel kill it when the thread that
// started it ends (see spawner).
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// supervisorAttr puts the supervisor in a session of its own. A mount namespace
// of its own goes, with all that is mounted in it, when its last process ends.
func supervisorAttr(mounts bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if mounts {
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	return attr
}

// detach removes a mount from this namespace, even one whose server is dead.
func detach(mount string) { _ = unix.Unmount(mount, unix.MNT_DETACH) }

// mounted tells whether something is mounted there in this namespace. It asks
// the kernel alone: who serves the mount may stand still.
func mounted(at string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(at)
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == escaped {
			return true
		}
	}
	return false
}

// identify names the process that has pid now.
func identify(pid int) (faults.ProcessID, error) {
	st, err := readStat(pid)
	if err != nil {
		return faults.ProcessID{}, err
	}
	return faults.ProcessID{PID: pid, Start: st.start}, nil
}

// stateOf is running, stopped or dead; a zombie and a recycled PID are dead.
func stateOf(id faults.ProcessID) string {
	st, err := readStat(id.PID)
	switch {
	case err != nil, st.start != id.Start, st.state == 'Z', st.state == 'X':
		return stateDead
	case st.state == 'T', st.state == 't':
		return stateStopped
	}
	return stateRunning
}

// dying tells whether a process has been killed and is not dead yet: giving its
// memory back takes a while.
func dying(id faults.ProcessID) bool {
	st, err := readStat(id.PID)
	if err != nil || st.start != id.Start {
		return false
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", id.PID))
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		pending, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if (name == "SigPnd" || name == "ShdPnd") && err == nil && pending&(1<<(syscall.SIGKILL-1)) != 0 {
			return true
		}
	}
	const exiting = 0x4 // PF_EXITING of linux/sched.h
	return st.flags&exiting != 0
}

// awaitExit returns when the child has ended and leaves it a zombie: until it
// is reaped, neither its PID nor its process group can be recycled.
func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// signalExactly signals id and never another process that was given its PID:
// the descriptor is opened first and the start time compared after, so that
// either both mean id, or the descriptor's process is dead.
func signalExactly(id faults.ProcessID, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return faults.ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if stateOf(id) == stateDead {
		return faults.ErrNotRunning
	}
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return faults.ErrNotRunning
	}
	return err
}

// marked finds the processes that carry an environment's mark, whoever their
// parent is by now. Processes of other users cannot be read and are not ours.
func marked(id string) []faults.ProcessID {
	mark := []byte(markVariable + "=" + id)
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	var found []faults.ProcessID
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Identity before environment: should the PID change hands between
		// the two, the identity is that of a dead process and harms nobody.
		p, err := identify(pid)
		if err != nil || !hasMark(path, mark) {
			continue
		}
		found = append(found, p)
	}
	return found
}

func hasMark(path string, mark []byte) bool {
	environ, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(v, mark) {
			return true
		}
	}
	return false
}

// cpuTime is what all threads of a process have used; 0 when there is none.
// The clock of another process is made of its PID (clock_getcpuclockid(3)).
func cpuTime(pid int) time.Duration {
	const wholeProcess = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|wholeProcess), &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// family is a process and its descendants. Where the kernel does not tell
// children (CONFIG_PROC_CHILDREN), it is the process alone.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			for field := range bytes.FieldsSeq(text) {
				if child, err := strconv.Atoi(string(field)); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	st, err := parseStat(text)
	if err != nil {
		return stat{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return st, nil
}

// stat is what we need of /proc/PID/stat.
type stat struct {
	state byte   // field 3
	flags uint64 // field 9
	start uint64 // field 22, clock ticks since boot
}

// parseStat starts behind the last ')': the command name before it may hold
// spaces and parentheses of its own.
func parseStat(text []byte) (stat, error) {
	const flagsField, startField = 9 - 3, 22 - 3 // counted from field 3
	rest := text[bytes.LastIndexByte(text, ')')+1:]
	fields := bytes.Fields(rest)
	if len(fields) <= startField || len(fields[0]) != 1 || len(rest) == len(text) {
		return stat{}, errors.New("stat line is not in the kernel's format")
	}
	start, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("start time: %w", err)
	}
	flags, err := strconv.ParseUint(string(fields[flagsField]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("flags: %w", err)
	}
	return stat{state: fields[0][0], flags: flags, start: start}, nil
}
