package faults

import (
	"time"
)

// ProcTermParams are the parameters of proc-term.
type ProcTermParams struct {
	Grace Duration `yaml:"grace" spec:"default=3s" doc:"The time to end by itself, at most 10s; then it is killed."`
}

func newProcTerm(decode func(any) error) (Fault, error) {
	var p ProcTermParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if err := checkGrace(p.Grace); err != nil {
		return nil, err
	}
	return &signalFault{says: "SIGTERM, SIGKILL after " + p.Grace.String(), signal: "TERM", state: stateDead, insist: time.Duration(p.Grace), active: notRunning}, nil
}

func init() {
	builtin(Kind{
		Name:    "proc-term",
		Summary: "asks a service to end with SIGTERM; the undo starts it again",
		Needs:   NeedsProcess,
		Whole:   "a process is hit or it is not",
		Params:  ProcTermParams{},
		Doc: `The process is asked to end, as in a deployment or when its machine is drained, and killed when it has not by
the end of the grace. It stays dead while the fault stands.
Receipt: the process, seen dead; it says how long that took, and whether it went by itself.
Undo: the service is started again with the same command, ports and data, and is seen ready;
the supervisor starts it as well when the lease runs out.`,
		New:    newProcTerm,
		Revert: revertKill,
	})
}
