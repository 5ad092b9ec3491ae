package faults

// ZoneLossParams are the parameters of zone-loss.
type ZoneLossParams struct {
	How string `yaml:"how" spec:"default=kill,enum=kill|pause" doc:"What becomes of the processes: killed, as by a power cut, or paused, so that they come back with all they knew."`
}

func composeZoneLoss(on string, decode func(any) error) (Composition, error) {
	var p ZoneLossParams
	if err := decode(&p); err != nil {
		return Composition{}, err
	}
	return Composition{Says: p.How, Parts: []Part{
		{Kind: "net-partition", On: on + " | *"}, // first: nobody outside sees connections end
		{Kind: "proc-" + p.How, On: on},
	}}, nil
}

func init() {
	builtin(Kind{
		Name:    "zone-loss",
		Summary: "everything in a zone is lost at once",
		Needs:   NeedsZone,
		Whole:   "it is a whole zone that is lost",
		Params:  ZoneLossParams{},
		Doc: `Every edge into the zone and out of it falls silent, then all its processes are killed or paused. Who called into it
waits for an answer that does not come, as with a lost data centre; within the zone nobody is left to notice.
The zones of a system are in its file: zones: {north: [orders-1, nats-1]}.
Receipt: processes lost and connections held, each number in the note. Undo: edges and processes at once; each service is seen ready.`,
		Compose: composeZoneLoss,
	})
}
