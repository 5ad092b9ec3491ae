package faults

import (
	"fmt"
	"math"
)

// HTTPRateLimitParams are the parameters of http-rate-limit.
type HTTPRateLimitParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	Rate        Rate              `yaml:"rate" spec:"required" doc:"How many requests pass, over all links of the edge together."`
	Burst       int               `yaml:"burst" spec:"min=0" doc:"How many may come at once; default: those of one second."`
	Status      int               `yaml:"status" spec:"default=429" doc:"Status of the answer, 400 to 599."`
	Headers     map[string]string `yaml:"headers" doc:"Header fields of the answer; Retry-After, unless given here, is how long the next pass takes, in whole seconds."`
	Body        string            `yaml:"body" doc:"Body of the answer."`
}

func newHTTPRateLimit(decode func(any) error) (Fault, error) {
	var p HTTPRateLimitParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Status < 400 || p.Status > 599 {
		return nil, fmt.Errorf("status %d is no error: write 400 to 599", p.Status)
	}
	if err := checkHeaders(p.Headers); err != nil {
		return nil, err
	}
	if p.Burst == 0 {
		p.Burst = int(math.Ceil(float64(p.Rate)))
	}
	rule := HTTPRule{Action: HTTPRateLimit, Status: p.Status, Header: p.Headers, Body: p.Body, Rate: float64(p.Rate), Burst: p.Burst}
	return newStageFault(fmt.Sprintf("%d above %s", p.Status, p.Rate), Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-rate-limit",
		Summary: "answers 429 with Retry-After to chosen requests above a rate",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPRateLimitParams{},
		Doc: `A token bucket at the callee's door, one for all links of the edge: requests for which there is a token pass,
the others are answered by the proxy and never seen by the callee. Which those are depends on when they come, not on the seed.
Receipt: requests refused. Undo: the stage is removed.`,
		New:    newHTTPRateLimit,
		Revert: revertStage,
	})
}
