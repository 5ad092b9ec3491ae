package faults

// NetResetParams are the parameters of net-reset: none.
type NetResetParams struct{}

func init() {
	builtin(Kind{
		Name:    "net-reset",
		Summary: "resets connections with RST, idle ones too",
		Needs:   NeedsLink,
		Params:  NetResetParams{},
		Doc: `Every live connection gets an RST at once, also one that is idle in a caller's pool, and so does
every new one while the fault stands.
Receipt: connections reset. Undo: the stage is removed; new connections pass.`,
		New:    newStage("connections reset", Stage{Reset: true}, &NetResetParams{}),
		Revert: revertStage,
	})
}
