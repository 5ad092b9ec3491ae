package faults

// NetTimeoutParams are the parameters of net-timeout: none.
type NetTimeoutParams struct{}

func init() {
	builtin(Kind{
		Name:    "net-timeout",
		Summary: "accepts connections, then silence",
		Needs:   NeedsLink,
		Params:  NetTimeoutParams{},
		Doc: `The callee hangs: connections are accepted and nothing passes either way, on live ones too.
Only a timeout of the caller's ends its wait.
Receipt: connections held. Undo: what was held is passed on, if both sides are still there.`,
		New:    newStage("silence", Stage{Mode: LinkHang}, &NetTimeoutParams{}),
		Revert: revertStage,
	})
}
