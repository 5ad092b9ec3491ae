package faults

import (
	"errors"
	"fmt"
)

// NetLossParams are the parameters of net-loss.
type NetLossParams struct {
	Loss        Ratio  `yaml:"loss" spec:"required" doc:"Share of the packets that are lost, in steps of 0.1%."`
	Stream      string `yaml:"stream" spec:"default=both,enum=both|upstream|downstream" doc:"Which way: upstream loses what callers send, downstream what they are sent."`
	AfterParams `yaml:",inline"`
	Ramp        Duration `yaml:"ramp" doc:"The share grows from nothing to full over this time."`
}

func newNetLoss(decode func(any) error) (Fault, error) {
	var p NetLossParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	switch {
	case p.Loss == 0:
		return nil, errors.New("loss is zero: nothing would happen")
	case p.Loss == 1:
		return nil, errors.New("a loss of everything is net-blackhole")
	}
	says, stage := packetLoss(p.Loss, p.Stream)
	if stage.Packets.Check() != nil {
		return nil, fmt.Errorf("loss %s: write it in steps of 0.1%%", p.Loss)
	}
	return newStageFault(says, stage, GateParams{AfterParams: p.AfterParams, Ramp: p.Ramp})
}

func init() {
	builtin(Kind{
		Name:    "net-loss",
		Summary: "loses packets between callers and callee, at random places",
		Needs:   NeedsLink,
		Whole:   "the kernel drops packets and knows no connections",
		Missing: missingPackets,
		Params:  NetLossParams{},
		Doc: `The kernel drops packets on their way between the callers of the edge and its proxy, in both
directions or in one; TCP sends them again. Most calls are untouched, a few wait for a timeout of TCP's, 200 ms and more:
no fault that delays bytes looks like that. The handshake suffers too.
Of every thousand packets of a direction so many are lost, at places drawn from the seed, so that the same packets
make the same losses. On loopback a packet may be up to 64 kB large.
Needs nftables and CAP_NET_ADMIN where the proxy runs.
Receipt: packets dropped, counted by the kernel; first and last instant as they were looked at. Undo: the kernel's table
is removed; what was lost arrives when TCP sends it again. The table goes with the proxy, and with its lease.`,
		New:    newNetLoss,
		Revert: revertStage,
	})
}
