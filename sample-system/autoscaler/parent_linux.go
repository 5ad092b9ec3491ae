package autoscaler

import "syscall"

// dieWithParent lets the kernel end a child when the autoscaler dies, however
// it dies. SIGTERM, so that it still drains.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
