package faults

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// missingDisk: a disk of ours is mounted in a mount namespace of its own, so
// that it goes with the processes that use it.
func missingDisk() string {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("FUSE cannot be used: %v", err)
	}
	_ = f.Close()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil || caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return "squall may not mount: that takes root (CAP_SYS_ADMIN)"
	}
	return ""
}
