package faults

// GRPCDelayParams are the parameters of grpc-delay.
type GRPCDelayParams struct {
	GRPCMatchParams `yaml:",inline"`
	GateParams      `yaml:",inline"`
	Latency         Duration `yaml:"latency" spec:"required" doc:"How long a call waits before it is forwarded."`
	Jitter          Duration `yaml:"jitter" doc:"Uniform spread around it: latency ± jitter."`
}

func newGRPCDelay(decode func(any) error) (Fault, error) {
	var p GRPCDelayParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	rule, says, err := delayRule(p.Latency, p.Jitter)
	if err != nil {
		return nil, err
	}
	return newStageFault(says, Stage{HTTP: &rule}, p.GRPCMatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "grpc-delay",
		Summary: "delays chosen gRPC calls",
		Needs:   NeedsGRPCLink,
		Unit:    "call",
		Params:  GRPCDelayParams{},
		Doc: `Each chosen call waits in the proxy before the callee sees anything of it; other calls of the connection are
not slowed. The spread is drawn per call from the seed. A ramp lets the delay grow.
Receipt: calls that began to wait. Undo: the stage is removed; waiting calls go on at once.`,
		New:    newGRPCDelay,
		Revert: revertStage,
	})
}
