package faults

import (
	"errors"
	"fmt"
	"time"
)

// NetSlowCloseParams are the parameters of net-slow-close.
type NetSlowCloseParams struct {
	Delay        Duration `yaml:"delay" spec:"required" doc:"How late the end of a connection arrives, in whole milliseconds."`
	StreamParams `yaml:",inline"`
	ConnParams   `yaml:",inline"`
	GateParams   `yaml:",inline"`
}

func newNetSlowClose(decode func(any) error) (Fault, error) {
	var p NetSlowCloseParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	switch {
	case p.Delay == 0:
		return nil, errors.New("delay is zero: nothing would happen")
	case p.Delay%Duration(time.Millisecond) != 0:
		return nil, fmt.Errorf("delay %s is no whole milliseconds", p.Delay)
	}
	a := struct {
		Delay int64 `json:"delay"` // ms
	}{time.Duration(p.Delay).Milliseconds()}
	return newToxicFault("closed "+p.Delay.String()+" late", "slow_close", a, p.StreamParams, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-slow-close",
		Summary: "delays the end of connections",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetSlowCloseParams{},
		Doc: `When one side closes, the other learns of it late. It finds who waits for the end of a connection,
or takes a connection for alive because nobody has said otherwise. Bytes are not delayed.
Receipt: connections whose end was held. Undo: the stage is removed; ends that are held arrive at once.`,
		New:    newNetSlowClose,
		Revert: revertStage,
	})
}
