package pgtest

import "syscall"

// dieWithParent lets the kernel end a server with the thread that started it.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
