package faults

// HTTPAbortParams are the parameters of http-abort.
type HTTPAbortParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	End         string `yaml:"end" spec:"default=reset,enum=reset|close" doc:"How the connection ends: with RST, or as if the callee had closed it."`
}

func newHTTPAbort(decode func(any) error) (Fault, error) {
	var p HTTPAbortParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	says := map[string]string{"reset": "connection reset", "close": "connection closed"}[p.End]
	rule := HTTPRule{Action: HTTPAbort, Close: p.End == "close"}
	return newStageFault(says, Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-abort",
		Summary: "ends the connection of chosen requests without an answer",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPAbortParams{},
		Doc: `The caller's connection ends when the head of a chosen request has come; the callee never sees the request.
Replies that are due to earlier requests of the connection are delivered first.
Receipt: requests aborted. Undo: the stage is removed; new connections pass.`,
		New:    newHTTPAbort,
		Revert: revertStage,
	})
}
