package faults

import (
	"errors"
	"fmt"
	"time"
)

// HTTPDelayParams are the parameters of http-delay.
type HTTPDelayParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	Latency     Duration `yaml:"latency" spec:"required" doc:"How long a request waits before it is forwarded."`
	Jitter      Duration `yaml:"jitter" doc:"Uniform spread around it: latency ± jitter."`
}

func newHTTPDelay(decode func(any) error) (Fault, error) {
	var p HTTPDelayParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	rule, says, err := delayRule(p.Latency, p.Jitter)
	if err != nil {
		return nil, err
	}
	return newStageFault(says, Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

// delayRule is shared with grpc-delay.
func delayRule(latency, jitter Duration) (HTTPRule, string, error) {
	if latency == 0 {
		return HTTPRule{}, "", errors.New("latency is zero: nothing would happen")
	}
	if jitter > latency {
		return HTTPRule{}, "", fmt.Errorf("jitter %s exceeds latency %s", jitter, latency)
	}
	says := latency.String()
	if jitter > 0 {
		says += " ± " + jitter.String()
	}
	return HTTPRule{Action: HTTPDelay, Delay: time.Duration(latency), Jitter: time.Duration(jitter)}, says, nil
}

func init() {
	builtin(Kind{
		Name:    "http-delay",
		Summary: "delays chosen requests",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPDelayParams{},
		Doc: `Each chosen request waits in the proxy before the callee sees anything of it; the connection and other
requests are not slowed. The spread is drawn per request from the seed. A ramp lets the delay grow.
Receipt: requests that began to wait. Undo: the stage is removed; waiting requests go on at once.`,
		New:    newHTTPDelay,
		Revert: revertStage,
	})
}
