package faults

import (
	"errors"
	"fmt"
)

// ProcCPUParams are the parameters of proc-cpu.
type ProcCPUParams struct {
	Cores float64 `yaml:"cores" spec:"required,min=0.01" doc:"Cores that the process and its children may use together, on average: 0.2 is a fifth of one."`
}

func newProcCPU(decode func(any) error) (Fault, error) {
	var p ProcCPUParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if !(p.Cores >= 0.01 && p.Cores <= 1024) {
		return nil, errors.New("cores must be from 0.01 to 1024")
	}
	return holdFault{says: fmt.Sprintf("%g of a core", p.Cores), hold: Hold{CPU: p.Cores}}, nil
}

func init() {
	builtin(Kind{
		Name:    "proc-cpu",
		Summary: "leaves a service only a share of a core",
		Needs:   NeedsProcess,
		Whole:   "the limit is that of a process and its children together",
		Params:  ProcCPUParams{},
		Doc: `In every 100ms the process and its children run until they have used their share, and then stand still
for the rest, as a container's CPU quota does. The supervisor measures what they use and stops and continues them by
signals, so it needs no privileges; what was used too much is taken off the next share.
Receipt: the periods in which the share was not enough, with the time they stood still and the cores they used, before and now.
A service that needs less than its share is not hit. Undo: the supervisor lets it run; it does so as well when the lease runs out.`,
		New:    newProcCPU,
		Revert: revertHold,
	})
}
