package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DiskSlowParams are the parameters of disk-slow.
type DiskSlowParams struct {
	Delay      Duration `yaml:"delay" spec:"required" doc:"Added to every operation."`
	Jitter     Duration `yaml:"jitter" doc:"The delay varies evenly by up to this, either way."`
	Operations []string `yaml:"operations" doc:"Any of read, write and fsync; absent: all of them."`

	OperationParams `yaml:",inline"`
}

func newDiskSlow(decode func(any) error) (Fault, error) {
	var p DiskSlowParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	switch {
	case p.Delay == 0:
		return nil, errors.New("delay is zero")
	case p.Jitter > p.Delay:
		return nil, fmt.Errorf("jitter %s is more than the delay %s", p.Jitter, p.Delay)
	}
	rule := DiskRule{Delay: time.Duration(p.Delay), Jitter: time.Duration(p.Jitter)}
	for _, op := range p.Operations {
		if !slices.Contains([]DiskOperation{DiskRead, DiskWrite, DiskSync}, DiskOperation(op)) {
			return nil, fmt.Errorf("unknown operation %q: write read, write or fsync", op)
		}
		rule.Operations = append(rule.Operations, DiskOperation(op))
	}
	return newDiskFault(p.says(), rule, p.OperationParams)
}

func (p DiskSlowParams) says() string {
	says := p.Delay.String()
	if p.Jitter > 0 {
		says += " ± " + p.Jitter.String()
	}
	if len(p.Operations) > 0 {
		says += " on every " + strings.Join(p.Operations, ", ")
	}
	return says
}

func init() {
	builtin(Kind{
		Name:    "disk-slow",
		Summary: "makes a service's data folder slow",
		Needs:   NeedsData,
		Unit:    "operation",
		Missing: missingDisk,
		Params:  DiskSlowParams{},
		Doc: `Each read, write and fsync in ${data} takes longer. What the kernel has in its cache is read without the disk, as ever.
The data folder of the service is served by squall itself (FUSE) in a run that aims a disk fault at it, from its start on.
Receipt: operations delayed, with their numbers among those that are concerned, and with the delay that was delivered. Undo: the delay goes; operations under way end at once.`,
		New:    newDiskSlow,
		Revert: revertHold,
	})
}
