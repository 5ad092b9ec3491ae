package faults

import (
	"fmt"
	"time"
)

// minFlap is the shortest time up or down that a loaded machine can keep.
const minFlap = Duration(10 * time.Millisecond)

// NetFlapParams are the parameters of net-flap.
type NetFlapParams struct {
	Up          Duration `yaml:"up" spec:"required" doc:"How long the link works in between."`
	Down        Duration `yaml:"down" spec:"required" doc:"How long it is down each time."`
	AfterParams `yaml:",inline"`
}

func newNetFlap(decode func(any) error) (Fault, error) {
	var p NetFlapParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Up < minFlap || p.Down < minFlap {
		return nil, fmt.Errorf("%s up and %s down: a link cannot flap faster than every %s", p.Up, p.Down, minFlap)
	}
	stage := Stage{Flap: &Flap{Up: time.Duration(p.Up), Down: time.Duration(p.Down)}}
	return newStageFault(fmt.Sprintf("%s down, %s up", p.Down, p.Up), stage, p.AfterParams)
}

func init() {
	builtin(Kind{
		Name:    "net-flap",
		Summary: "takes a link down and up again, by turns",
		Needs:   NeedsLink,
		Whole:   "nobody learns who is refused, so nobody can be chosen",
		Params:  NetFlapParams{},
		Doc: `The link is down as with net-down, comes up, goes down again, and so on; the proxy keeps the times by itself.
It begins down; the first time down is between half and all of the others, drawn from the seed, so that the links of a
service do not flap in step.
Receipt: connections reset, with how often and how long the link was down. Undo: the stage is removed; the proxy listens again on the same port.`,
		New:    newNetFlap,
		Revert: revertStage,
	})
}
