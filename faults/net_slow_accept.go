package faults

import (
	"errors"
	"time"
)

// NetSlowAcceptParams are the parameters of net-slow-accept.
type NetSlowAcceptParams struct {
	Delay      Duration `yaml:"delay" spec:"required" doc:"How long each new connection is held."`
	ConnParams `yaml:",inline"`
	GateParams `yaml:",inline"`
}

func newNetSlowAccept(decode func(any) error) (Fault, error) {
	var p NetSlowAcceptParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Delay == 0 {
		return nil, errors.New("delay is zero: nothing would happen")
	}
	stage := Stage{Accept: time.Duration(p.Delay)}
	return newStageFault("accepted "+p.Delay.String()+" late", stage, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-slow-accept",
		Summary: "serves new connections late",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetSlowAcceptParams{},
		Doc: `The callee is busy and takes a new connection up late: nothing is read from it and the callee is not dialled
before the delay is over. As with a real one the kernel has answered the connect, so the caller connects at once and waits
for its first reply. Live connections are untouched: callers that keep theirs notice nothing.
Receipt: connections held. Undo: the stage is removed; connections that are held are served at once.`,
		New:    newNetSlowAccept,
		Revert: revertStage,
	})
}
