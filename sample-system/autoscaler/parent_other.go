//go:build !linux

package autoscaler

import "syscall"

// dieWithParent: elsewhere children outlive an autoscaler that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
