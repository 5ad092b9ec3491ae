//go:build !linux

package load

import "syscall"

// dieWithParent: elsewhere k6 notices the closed pipe and aborts.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
