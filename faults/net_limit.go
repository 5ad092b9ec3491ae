package faults

// NetLimitParams are the parameters of net-limit.
type NetLimitParams struct {
	Bytes        Bytes `yaml:"bytes" spec:"required" doc:"What still passes of each connection and direction; 0B closes it at the first byte."`
	StreamParams `yaml:",inline"`
	ConnParams   `yaml:",inline"`
	GateParams   `yaml:",inline"`
}

func newNetLimit(decode func(any) error) (Fault, error) {
	var p NetLimitParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	a := struct {
		Bytes int64 `json:"bytes"`
	}{int64(p.Bytes)}
	return newToxicFault("closed after "+p.Bytes.String(), "limit_data", a, p.StreamParams, p.ConnParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "net-limit",
		Summary: "closes connections after so many bytes",
		Needs:   NeedsLink,
		Unit:    "connection",
		Params:  NetLimitParams{},
		Doc: `Each connection passes so many bytes more and is then closed in the ordinary way, in the middle of whatever
was on its way. Bytes from before the fault do not count.
Receipt: connections closed. Undo: the stage is removed; new connections pass.`,
		New:    newNetLimit,
		Revert: revertStage,
	})
}
