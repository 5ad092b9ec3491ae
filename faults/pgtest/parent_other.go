//go:build !linux

package pgtest

import "syscall"

// dieWithParent does nothing: elsewhere a server outlives a test that is killed.
func dieWithParent(*syscall.SysProcAttr) {}
