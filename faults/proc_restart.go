package faults

import (
	"fmt"
	"time"
)

// longestGrace leaves an injection time to see a process dead.
const longestGrace = Duration(10 * time.Second)

// CycleParams are how proc-restart and proc-crash-loop end a process.
type CycleParams struct {
	Signal string   `yaml:"signal" spec:"enum=KILL|TERM,default=KILL" doc:"KILL ends it at once, TERM asks it to end."`
	Grace  Duration `yaml:"grace" spec:"default=3s" doc:"After TERM: the time to end by itself, at most 10s; then it is killed."`
	Down   Duration `yaml:"down" spec:"default=0s" doc:"From its end to its next start."`
}

func (p CycleParams) cycle() (Cycle, error) {
	if err := checkGrace(p.Grace); err != nil {
		return Cycle{}, err
	}
	return Cycle{Signal: p.Signal, Grace: time.Duration(p.Grace), Down: time.Duration(p.Down)}, nil
}

func checkGrace(d Duration) error {
	if d > longestGrace {
		return fmt.Errorf("grace %s is longer than %s", d, longestGrace)
	}
	return nil
}

// ProcRestartParams are the parameters of proc-restart.
type ProcRestartParams struct {
	CycleParams `yaml:",inline"`
}

func newProcRestart(decode func(any) error) (Fault, error) {
	var p ProcRestartParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	c, err := p.cycle()
	if err != nil {
		return nil, err
	}
	c.Times = 1
	return holdFault{says: fmt.Sprintf("SIG%s, started again after %s", p.Signal, p.Down), hold: Hold{Cycle: &c}}, nil
}

func init() {
	builtin(Kind{
		Name:    "proc-restart",
		Summary: "ends a service and starts it again",
		Needs:   NeedsProcess,
		Whole:   "a process is hit or it is not",
		Params:  ProcRestartParams{},

		Transient: true, // over once it is ready again
		Doc: `The process is ended, seen dead, and started again by the supervisor with the same command, ports and data.
Receipt: the process, with its downtime: from its end until it was seen ready again. Undo: if it is still down, it is started.`,
		New:    newProcRestart,
		Revert: revertHold,
	})
}
