package faults

import (
	"errors"
	"time"
)

// BusDelayParams are the parameters of bus-delay.
type BusDelayParams struct {
	SubjectParams `yaml:",inline"`
	Delay         Duration `yaml:"delay" spec:"required" doc:"How much later each message comes."`
	Of            string   `yaml:"of" spec:"default=delivery,enum=delivery|publish" doc:"Which messages: those the broker delivers, or those that are published."`
	MessageParams `yaml:",inline"`
	GateParams    `yaml:",inline"`
}

func newBusDelay(decode func(any) error) (Fault, error) {
	var p BusDelayParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Delay <= 0 {
		return nil, errors.New("delay is zero: nothing would happen")
	}
	s := Stage{Bus: &BusRule{Of: BusFlow(p.Of), Action: BusDelay, Delay: time.Duration(p.Delay)}}
	return newStageFault("every "+p.Of+" "+p.Delay.String()+" later", s, p.SubjectParams, p.MessageParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "bus-delay",
		Summary: "messages of a subject come late",
		Needs:   NeedsBus,
		Unit:    "message",
		Params:  BusDelayParams{},
		Doc: `The messages come late while the connection, its pings and other subjects do not: the bus lags, the network does not.
Each is held for the delay from when it came; messages of the subject stay in order, so that one which is not chosen waits behind
those that are. Above 16 MB held in one direction of a connection, nothing more is read there until some have gone on.
Receipt: messages delayed, with their ids and the delay as measured. Undo: the stage is removed; what is held goes on at once.`,
		New:    newBusDelay,
		Revert: revertStage,
	})
}
