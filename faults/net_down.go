package faults

// NetDownParams are the parameters of net-down.
type NetDownParams struct {
	AfterParams `yaml:",inline"`
}

func newNetDown(decode func(any) error) (Fault, error) {
	var p NetDownParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newStageFault("connections refused", Stage{Mode: LinkRefuse}, p.AfterParams)
}

func init() {
	builtin(Kind{
		Name:    "net-down",
		Summary: "refuses connections and resets live ones",
		Needs:   NeedsLink,
		Whole:   "nobody learns who is refused, so nobody can be chosen",
		Params:  NetDownParams{},
		Doc: `The callee is down, as its caller sees it: new connections are refused, live ones are reset.
The kernel answers who is refused and tells nobody. Where the packet filter is ours to use (squall doctor: net-loss) it
counts them; a dial of the proxy's own shows that it refuses, and is noted, not counted.
Receipt: connections reset, and refused as far as they are counted. Undo: the proxy listens again on the same port.`,
		New:    newNetDown,
		Revert: revertStage,
	})
}
