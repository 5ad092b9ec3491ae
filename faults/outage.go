package faults

// OutageParams are the parameters of outage.
type OutageParams struct {
	How string `yaml:"how" spec:"default=kill,enum=kill|refuse|hang|error" doc:"kill: its processes are killed; refuse, hang: it runs, and all who call it are refused or hear nothing; error: all who call it over HTTP get a 503."`
}

// outages are what the ways to be gone are made of.
var outages = map[string]func(service string) Part{
	"kill":   func(s string) Part { return Part{Kind: "proc-kill", On: s} },
	"refuse": func(s string) Part { return Part{Kind: "net-down", On: "* -> " + s} },
	"hang":   func(s string) Part { return Part{Kind: "net-timeout", On: "* -> " + s} },
	"error": func(s string) Part {
		return Part{Kind: "http-error", On: "* -> " + s, Params: map[string]any{"status": 503}}
	},
}

func composeOutage(on string, decode func(any) error) (Composition, error) {
	var p OutageParams
	if err := decode(&p); err != nil {
		return Composition{}, err
	}
	return Composition{Says: p.How, Parts: []Part{outages[p.How](on)}}, nil
}

func init() {
	builtin(Kind{
		Name:    "outage",
		Summary: "a service is gone, for everybody who calls it",
		Needs:   NeedsService,
		Whole:   "it is a whole service that is gone: use the kind that it is made of",
		Params:  OutageParams{},
		Doc: `A whole service (or one instance) is not there, in one of the ways that services are gone. It is made of proc-kill on its
processes, or of net-down, net-timeout or http-error on every edge that leads to it.
Receipt: that of the kind it is made of. Undo: likewise, on every target.`,
		Compose: composeOutage,
	})
}
