//go:build unix

package probe

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the program leader of a process group, and its end theirs: a
// script that is killed must not leave what it has started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
