package faults

import "errors"

// HTTPTruncateParams are the parameters of http-truncate.
type HTTPTruncateParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	Bytes       *Bytes `yaml:"bytes" doc:"So much of the body passes."`
	Share       *Ratio `yaml:"share" doc:"This share of the body passes, in place of bytes: of a chunked one, of its first chunk."`
	End         string `yaml:"end" spec:"default=reset,enum=reset|close" doc:"How the connection ends: with RST, or as if the callee had closed it."`
}

func newHTTPTruncate(decode func(any) error) (Fault, error) {
	var p HTTPTruncateParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	rule := HTTPRule{Action: HTTPTruncate, Close: p.End == "close"}
	says := "reply cut after "
	switch {
	case (p.Bytes == nil) == (p.Share == nil):
		return nil, errors.New("give bytes or share: how much of the body passes")
	case p.Bytes != nil:
		rule.Bytes = int64(*p.Bytes)
		says += p.Bytes.String()
	case *p.Share >= 1:
		return nil, errors.New("share is all of the body: nothing would happen")
	default:
		rule.Share = float64(*p.Share)
		says += p.Share.String()
	}
	return newStageFault(says, Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-truncate",
		Summary: "cuts the replies to chosen requests in the middle of their body",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPTruncateParams{},
		Doc: `The callee executes the chosen requests; their replies begin as they are, with the length they announce,
and end too early. A reply whose body is no longer than what may pass is left alone and not counted.
Receipt: replies cut. Undo: the stage is removed; new connections pass.`,
		New:    newHTTPTruncate,
		Revert: revertStage,
	})
}
