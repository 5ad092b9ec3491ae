package faults

// NetResetParams are the parameters of net-reset.
type NetResetParams struct {
	ConnParams `yaml:",inline"`
	GateParams `yaml:",inline"`
}

func newNetReset(decode func(any) error) (Fault, error) {
	var p NetResetParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newStageFault("connections reset", Stage{Reset: true}, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-reset",
		Summary: "resets connections with RST, idle ones too",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetResetParams{},
		Doc: `Every live connection gets an RST at once, also one that is idle in a caller's pool, and so does
every new one while the fault stands.
Receipt: connections reset. Undo: the stage is removed; new connections pass.`,
		New:    newNetReset,
		Revert: revertStage,
	})
}
