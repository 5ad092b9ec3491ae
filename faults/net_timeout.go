package faults

// NetTimeoutParams are the parameters of net-timeout.
type NetTimeoutParams struct {
	ConnParams `yaml:",inline"`
	GateParams `yaml:",inline"`
}

func newNetTimeout(decode func(any) error) (Fault, error) {
	var p NetTimeoutParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newStageFault("silence", Stage{Mode: LinkHang}, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-timeout",
		Summary: "accepts connections, then silence",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetTimeoutParams{},
		Doc: `The callee hangs: connections are accepted and nothing passes either way, on live ones too.
Only a timeout of the caller's ends its wait.
Receipt: connections held. Undo: what was held is passed on, if both sides are still there.`,
		New:    newNetTimeout,
		Revert: revertStage,
	})
}
