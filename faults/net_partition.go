package faults

// NetPartitionParams are the parameters of net-partition.
type NetPartitionParams struct {
	How         string `yaml:"how" spec:"default=hang,enum=hang|reset|refuse" doc:"What calls across meet: hang is silence, reset an RST, refuse a refused connection and live ones reset."`
	AfterParams `yaml:",inline"`
}

// partitions are the stages of the ways to cut.
var partitions = map[string]Stage{
	"hang":   {Mode: LinkHang},
	"reset":  {Reset: true},
	"refuse": {Mode: LinkRefuse},
}

func newNetPartition(decode func(any) error) (Fault, error) {
	var p NetPartitionParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	return newStageFault("cut: "+p.How, partitions[p.How], p.AfterParams)
}

func init() {
	builtin(Kind{
		Name:    "net-partition",
		Summary: "cuts all calls between two sides",
		Needs:   NeedsLink,
		Whole:   "a cut that lets some through is none: use net-timeout or net-reset on the edges",
		Params:  NetPartitionParams{},
		Doc: `Nothing passes between two sets of services, on live connections either; within each set all is well.
Aimed at "orders, payments | nats, catalog" it cuts the calls both ways, at "orders, payments -> nats" those of one side; * is
everybody else. What calls across meet is a choice; silence is what a broken network looks like.
Receipt: connections held or reset, of all edges together. Undo: every edge is as before; what was held is passed on, if both sides are still there.`,
		New:    newNetPartition,
		Revert: revertStage,
	})
}
