package process

import (
	"errors"

	"squall/faults"
	"squall/runner/targets/ports"
	"squall/scenarios/spec"
)

// place draws addresses for all services, links and the APIs of our own processes.
func place(p *ports.Held, sys *spec.System, at *site) error {
	var errs []error
	take := func() string {
		addr, err := p.Take()
		errs = append(errs, err)
		return addr
	}
	at.services, at.links = map[string]string{}, map[string]string{}
	at.api = take()
	if at.anyNeeds(faults.NeedsData) {
		at.disk = take()
	}
	for name, svc := range sys.Spec.Services {
		for _, port := range svc.Ports {
			if at.services[name+"."+port] = svc.At[port]; !svc.External() || sys.Spec.Target == spec.TargetCompose {
				at.services[name+"."+port] = take()
			}
		}
	}
	for _, e := range sys.Spec.Edges {
		at.links[e.Name()] = take()
	}
	return errors.Join(errs...)
}
