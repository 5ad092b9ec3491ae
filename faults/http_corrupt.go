package faults

// HTTPCorruptParams are the parameters of http-corrupt.
type HTTPCorruptParams struct {
	MatchParams `yaml:",inline"`
	GateParams  `yaml:",inline"`
	Count       int    `yaml:"count" spec:"default=1,min=1,max=1024" doc:"How many bytes of a body are changed; all where it has fewer."`
	Stream      string `yaml:"stream" spec:"default=downstream,enum=downstream|upstream" doc:"downstream changes replies, upstream requests."`
}

func newHTTPCorrupt(decode func(any) error) (Fault, error) {
	var p HTTPCorruptParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	rule := HTTPRule{Action: HTTPCorrupt, Bytes: int64(p.Count), Up: p.Stream == "upstream"}
	says := "corrupt reply"
	if rule.Up {
		says = "corrupt request"
	}
	return newStageFault(says, Stage{HTTP: &rule}, p.MatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "http-corrupt",
		Summary: "changes bytes in the bodies of chosen requests or their replies",
		Needs:   NeedsHTTPLink,
		Unit:    "request",
		Params:  HTTPCorruptParams{},
		Doc: `Some bytes of the body become others, at places drawn from the seed (in a chunked body, within its first
chunk); head, length and framing stay as they are. What has no body is left alone and not counted.
Receipt: bodies changed. Undo: the stage is removed.`,
		New:    newHTTPCorrupt,
		Revert: revertStage,
	})
}
