package faults

// GRPCErrorParams are the parameters of grpc-error.
type GRPCErrorParams struct {
	GRPCMatchParams `yaml:",inline"`
	GateParams      `yaml:",inline"`
	Code            GRPCCode `yaml:"code" spec:"default=UNAVAILABLE" doc:"How the call ends, by its name."`
	Message         string   `yaml:"message" doc:"The status message."`
}

func newGRPCError(decode func(any) error) (Fault, error) {
	var p GRPCErrorParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	rule := HTTPRule{Action: HTTPStatus, Status: 200, GRPC: &GRPCStatus{Code: uint32(p.Code), Message: p.Message}}
	return newStageFault(p.Code.String(), Stage{HTTP: &rule}, p.GRPCMatchParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "grpc-error",
		Summary: "ends chosen gRPC calls with an error status",
		Needs:   NeedsGRPCLink,
		Unit:    "call",
		Params:  GRPCErrorParams{},
		Doc: `The proxy answers the chosen calls itself, before the callee sees anything of them. The connection and other
calls on it go on.
Receipt: calls answered. Undo: the stage is removed.`,
		New:    newGRPCError,
		Revert: revertStage,
	})
}
