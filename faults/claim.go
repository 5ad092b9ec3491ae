package faults

import "fmt"

// Claim names what a fault needs of its target to itself while it stands. Two
// faults with one claim on the same target cannot stand at the same time, and a
// plan that has them is refused. Whatever adds up has none.
type Claim string

// The claims that do not depend on parameters.
const (
	ClaimProcess Claim = "process" // whether it runs
	ClaimCPU     Claim = "share of the processors"
	ClaimClock   Claim = "clock"
	ClaimRoom    Claim = "room on the disk"
)

// Claimed is what a fault claims of its target; empty: nothing.
func Claimed(f Fault) Claim {
	if c, ok := f.(interface{ Claims() Claim }); ok {
		return c.Claims()
	}
	return ""
}

// Claims: a process that another fault has stopped or ended cannot be hit.
func (f *signalFault) Claims() Claim { return ClaimProcess }

// Claims: which node is meant shows only when it is killed.
func (f *busNodeKill) Claims() Claim { return ClaimProcess }

// Claims: a limit on memory is measured on a process that runs, and may kill it.
// Disks may be slow for several reasons, whose delays add up.
func (f holdFault) Claims() Claim {
	switch h := f.hold; {
	case h.Cycle != nil, h.Memory != nil:
		return ClaimProcess
	case h.CPU > 0:
		return ClaimCPU
	case h.Clock != 0:
		return ClaimClock
	case h.Disk != nil && h.Disk.Full:
		return ClaimRoom
	}
	return ""
}

// Claims: a second session would wait for the first to let go.
func (f *dbLock) Claims() Claim {
	if f.Advisory != nil {
		return Claim(fmt.Sprintf("advisory lock %d", *f.Advisory))
	}
	return Claim("table " + f.Table)
}
