package faults

import (
	"fmt"
	"time"
)

// ProcCrashLoopParams are the parameters of proc-crash-loop.
type ProcCrashLoopParams struct {
	CycleParams `yaml:",inline"`
	Up          Duration `yaml:"up" spec:"default=500ms" doc:"From its being ready to its next end."`
	Times       uint64   `yaml:"times" doc:"How often it is ended; 0: as long as the fault stands."`
}

func newProcCrashLoop(decode func(any) error) (Fault, error) {
	var p ProcCrashLoopParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	c, err := p.cycle()
	if err != nil {
		return nil, err
	}
	c.Up, c.Times = time.Duration(p.Up), p.Times
	says := fmt.Sprintf("SIG%s, started again after %s, up for %s", p.Signal, p.Down, p.Up)
	if p.Times > 0 {
		says += fmt.Sprintf(", %d times", p.Times)
	}
	return holdFault{says: says, hold: Hold{Cycle: &c}}, nil
}

func init() {
	builtin(Kind{
		Name:    "proc-crash-loop",
		Summary: "ends a service again and again, soon after each start",
		Needs:   NeedsProcess,
		Whole:   "a process is hit or it is not; times says how often",
		Params:  ProcCrashLoopParams{},

		Transient: true, // with times, over once it is ready after the last end
		Doc: `The process is ended, started again, and ended again once it has been ready for a while: as an orchestrator
shows a service that crashes. The supervisor only starts what it has ended itself.
Receipt: the processes it ended, with their downtimes. Undo: it is started again, if it is down, and left alone.`,
		New:    newProcCrashLoop,
		Revert: revertHold,
	})
}
