package spec

import (
	"slices"
	"strings"
)

// condition is when something is there: with all of some switches, and without
// any of some others.
type condition struct{ with, without []string }

func (s Service) condition() condition { return condition{with: s.When, without: s.Unless} }

// implies reports whether o is met wherever c is.
func (c condition) implies(o condition) bool {
	within := func(all []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(all, s) }
	}
	return !slices.ContainsFunc(o.with, within(c.with)) && !slices.ContainsFunc(o.without, within(c.without))
}

func (c condition) String() string {
	var parts []string
	for _, s := range c.with {
		parts = append(parts, "when: "+s)
	}
	for _, s := range c.without {
		parts = append(parts, "unless: "+s)
	}
	return strings.Join(parts, ", ")
}

// switches checks when and unless of a service or an edge.
func (v *validator) switches(what string, when, unless SwitchNames, s *System, at func(...string) Pos) {
	for _, x := range []struct {
		key   string
		names SwitchNames
	}{{"when", when}, {"unless", unless}} {
		for _, name := range x.names {
			if _, known := s.Spec.Switches[name]; !known {
				v.suggest(at(x.key), Suggest(name, sorted(s.Spec.Switches)), "%s: there is no switch %s", x.key, quote(name))
			}
		}
	}
	if slices.ContainsFunc(unless, func(name string) bool { return slices.Contains(when, name) }) {
		v.fail(at("unless"), "%s is never there: when and unless name the same switch", what)
	}
}

// instances checks that the names of a service's instances are free.
func (v *validator) instances(name string, svc Service, s *System) {
	if svc.Replicas <= 0 {
		return
	}
	all := instanceNames(name, svc)
	for _, instance := range all {
		if _, taken := s.Spec.Services[instance]; taken {
			v.fail(v.root.At("spec", "services", instance), "the name %s is taken: service %s has %d replicas, %s to %s",
				instance, name, len(all), all[0], all[len(all)-1])
		}
	}
}

// switchEnv checks the variables of a switch as those of every service that
// gets them.
func (v *validator) switchEnv(name string, s *System) {
	sw := s.Spec.Switches[name]
	for _, key := range sorted(sw.Env) {
		at := v.root.At("spec", "switches", name, "env", key)
		if i := slices.IndexFunc(s.Spec.Edges, func(e Edge) bool { return e.Env == key && e.Caller != Client && !slices.Contains(e.Unless, name) }); i >= 0 {
			v.fail(at, "env: %s is set by the edge %s: leave it out here", key, s.Spec.Edges[i].Name())
		}
		for _, service := range sorted(s.Spec.Services) {
			svc := s.Spec.Services[service]
			if _, own := svc.Env[key]; own || slices.Contains(svc.Unless, name) {
				continue
			}
			where := svc.condition()
			where.with = append(slices.Clone(where.with), name)
			v.references(service, sw.Env[key], at, where, s)
		}
	}
}
