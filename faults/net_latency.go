package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// NetLatencyParams are the parameters of net-latency.
type NetLatencyParams struct {
	Latency Duration `yaml:"latency" spec:"required" doc:"Delay of every byte, one way."`
	Jitter  Duration `yaml:"jitter" doc:"Uniform spread around the delay: latency ± jitter."`
	Stream  string   `yaml:"stream" spec:"default=downstream,enum=downstream|upstream|both" doc:"downstream delays replies, upstream requests."`
}

func newNetLatency(decode func(any) error) (Fault, error) {
	var p NetLatencyParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Latency == 0 {
		return nil, errors.New("latency is zero: nothing would happen")
	}
	if p.Latency%Duration(time.Millisecond) != 0 || p.Jitter%Duration(time.Millisecond) != 0 {
		return nil, errors.New("latency and jitter are whole milliseconds: the toxic knows nothing finer")
	}
	if p.Jitter > p.Latency {
		return nil, fmt.Errorf("jitter %s exceeds latency %s", p.Jitter, p.Latency)
	}
	streams := []string{p.Stream}
	if p.Stream == "both" {
		streams = []string{"upstream", "downstream"}
	}
	attributes, err := json.Marshal(map[string]int64{
		"latency": time.Duration(p.Latency).Milliseconds(), "jitter": time.Duration(p.Jitter).Milliseconds(),
	})
	if err != nil {
		return nil, err
	}
	var stage Stage
	for _, s := range streams {
		stage.Toxics = append(stage.Toxics, Toxic{Type: "latency", Stream: s, Toxicity: 1, Attributes: attributes})
	}
	says := p.Latency.String()
	if p.Jitter > 0 {
		says += " ± " + p.Jitter.String()
	}
	return stageFault{says: says + " " + p.Stream, stage: stage}, nil
}

func init() {
	builtin(Kind{
		Name:    "net-latency",
		Summary: "delays the bytes of a link",
		Needs:   NeedsLink,
		Params:  NetLatencyParams{},
		Doc: `Every byte on the link arrives late by the latency, uniformly spread by the jitter (Toxiproxy's
latency toxic). Order is kept, so on a busy connection jitter adds up to more than it says.
Live connections are slowed at once; the TCP handshake is not.
Receipt: bytes that went through the delay. Undo: the stage is removed; delayed bytes are delivered.`,
		New:    newNetLatency,
		Revert: revertStage,
	})
}
