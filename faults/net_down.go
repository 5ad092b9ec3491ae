package faults

// NetDownParams are the parameters of net-down: none.
type NetDownParams struct{}

func init() {
	builtin(Kind{
		Name:    "net-down",
		Summary: "refuses connections and resets live ones",
		Needs:   NeedsLink,
		Params:  NetDownParams{},
		Doc: `The callee is down, as its caller sees it: new connections are refused, live ones are reset.
Receipt: connections reset or refused. Undo: the proxy listens again on the same port.`,
		New:    newStage("connections refused", Stage{Mode: LinkRefuse}, &NetDownParams{}),
		Revert: revertStage,
	})
}
