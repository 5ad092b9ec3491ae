package faults

import (
	"errors"
	"fmt"
	"time"
)

// NetLatencyParams are the parameters of net-latency.
type NetLatencyParams struct {
	Latency      Duration `yaml:"latency" spec:"required" doc:"Delay of every byte, one way."`
	Jitter       Duration `yaml:"jitter" doc:"Spread of the delay, as the distribution says."`
	Distribution string   `yaml:"distribution" spec:"default=uniform,enum=uniform|normal|exponential|pareto" doc:"uniform: latency ± jitter. normal: mean latency, standard deviation jitter, never below zero. exponential and pareto (heavy tail, Lomax of shape 3): latency plus a delay whose mean is jitter."`
	StreamParams `yaml:",inline"`
	ConnParams   `yaml:",inline"`
	GateParams   `yaml:",inline"`
}

// latencyAttributes are those of the latency toxic, in milliseconds.
type latencyAttributes struct {
	Latency      float64 `json:"latency"`
	Jitter       float64 `json:"jitter,omitempty"`
	Distribution string  `json:"distribution,omitempty"`
}

func milliseconds(d Duration) float64 { return float64(d) / float64(time.Millisecond) }

func newNetLatency(decode func(any) error) (Fault, error) {
	var p NetLatencyParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	a := latencyAttributes{Latency: milliseconds(p.Latency), Jitter: milliseconds(p.Jitter)}
	if p.Jitter > 0 {
		a.Distribution = p.Distribution
	}
	return newToxicFault(p.words(), "latency", a, p.StreamParams, p.ConnParams, p.GateParams)
}

func (p NetLatencyParams) check() error {
	tailed := p.Distribution == "exponential" || p.Distribution == "pareto"
	switch {
	case p.Latency == 0 && p.Jitter == 0:
		return errors.New("latency is zero: nothing would happen")
	case p.Jitter == 0 && p.Distribution != "uniform":
		return fmt.Errorf("distribution %s needs a jitter", p.Distribution)
	case p.Jitter > p.Latency && !tailed:
		return fmt.Errorf("jitter %s exceeds latency %s", p.Jitter, p.Latency)
	}
	return nil
}

func (p NetLatencyParams) words() string {
	switch {
	case p.Jitter == 0:
		return p.Latency.String()
	case p.Distribution == "uniform":
		return fmt.Sprintf("%s ± %s", p.Latency, p.Jitter)
	case p.Distribution == "normal":
		return fmt.Sprintf("%s ± %s (normal)", p.Latency, p.Jitter)
	}
	return fmt.Sprintf("%s + %s (%s)", p.Latency, p.Jitter, p.Distribution)
}

func init() {
	builtin(Kind{
		Name:    "net-latency",
		Summary: "delays the bytes of a link",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetLatencyParams{},
		Doc: `Every byte on the link arrives late by the latency, spread by the jitter. Spread is drawn from the seed.
Order is kept, so on a busy connection jitter adds up to more than it says: what was delivered is measured.
Live connections are slowed at once; the TCP handshake is not.
Receipt: bytes that went through the delay, with the delivered delay. Undo: the stage is removed; delayed bytes are delivered.`,
		New:    newNetLatency,
		Revert: revertStage,
	})
}
