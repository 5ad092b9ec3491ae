package faults

// HTTPLoseReplyParams are the parameters of http-lose-reply.
type HTTPLoseReplyParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
}

func newHTTPLoseReply(decode func(any) error) (Fault, error) {
	var p HTTPLoseReplyParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newStageFault("reply lost", Stage{HTTP: &HTTPRule{Action: HTTPLoseReply}}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-lose-reply",
		Summary: "lets chosen requests be executed and loses their replies",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPLoseReplyParams{},
		Doc: `The callee gets the chosen requests whole and answers; the proxy drops the answer and resets the caller's
connection. To the caller it is a failure, to the callee a success: only idempotency helps.
Receipt: replies lost. Undo: the stage is removed.`,
		New:    newHTTPLoseReply,
		Revert: revertStage,
	})
}
