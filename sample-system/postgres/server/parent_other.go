//go:build !linux

package server

import "syscall"

// dieWithParent does nothing: elsewhere a server outlives an agent that is killed.
func dieWithParent(*syscall.SysProcAttr) {}
