package faults

import (
	"fmt"
	"strconv"
)

// HTTPErrorParams are the parameters of http-error.
type HTTPErrorParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	Status      int               `yaml:"status" spec:"default=503" doc:"Status of the answer, 400 to 599."`
	Headers     map[string]string `yaml:"headers" doc:"Header fields of the answer."`
	Body        string            `yaml:"body" doc:"Body of the answer."`
}

func newHTTPError(decode func(any) error) (Fault, error) {
	var p HTTPErrorParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Status < 400 || p.Status > 599 {
		return nil, fmt.Errorf("status %d is no error: write 400 to 599", p.Status)
	}
	if err := checkHeaders(p.Headers); err != nil {
		return nil, err
	}
	rule := HTTPRule{Action: HTTPStatus, Status: p.Status, Header: p.Headers, Body: p.Body}
	return newStageFault(strconv.Itoa(p.Status), Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-error",
		Summary: "answers chosen requests with an error status",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPErrorParams{},
		Doc: `The proxy answers the chosen requests itself; the callee never sees them. The connection stays open.
Receipt: requests answered. Undo: the stage is removed.`,
		New:    newHTTPError,
		Revert: revertStage,
	})
}
