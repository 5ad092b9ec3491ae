package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// With is the system that is run: switches applied, what is not there under
// them left out, replicas expanded. It is pure, and s stays as it is. What it
// returns is meant for everyone behind this package and not for With again. A
// system with problems gives something as well, for more problems to be found.
func (s *System) With(chosen ...Choice) (*System, Problems) {
	out := *s
	all := s.chosen(chosen)
	problems := append(s.checkChoice(chosen, all), s.checkLinks()...)
	if len(s.checkLinks()) > 0 {
		return nil, problems
	}
	out.Switches = slices.DeleteFunc(all, func(name string) bool { _, known := s.Spec.Switches[name]; return !known })
	out.absent, out.absentBooks = map[string]string{}, map[string]string{}
	out.switchServices(s)
	out.switchEdges(s)
	out.switchLedger(s)
	out.expand()
	out.switchZones(s)
	return &out, problems
}

// Absent says why a service or an edge that the file has is not part of this
// system; "" where it is, or was never declared.
func (s *System) Absent(name string) string { return s.absent[name] }

// AbsentBooks is Absent for a ledger source.
func (s *System) AbsentBooks(source string) string { return s.absentBooks[source] }

func (s *System) chosen(choices []Choice) []string {
	var names []string
	for _, c := range choices {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkChoice refuses unknown switches, and switches that contradict each other.
func (s *System) checkChoice(choices []Choice, on []string) Problems {
	var ps Problems
	place := func(name string) Pos { // of the file that chooses; a command line has none
		for _, c := range choices {
			if c.Name == name && c.Pos.Line > 0 {
				return c.Pos
			}
		}
		return Pos{s.File, 1, 1}
	}
	setBy := map[string]string{}
	for _, name := range on {
		sw, known := s.Spec.Switches[name]
		if !known {
			ps = append(ps, Problem{Pos: place(name), Msg: fmt.Sprintf("switches: system %s has no switch %s", s.Metadata.Name, quote(name)), Suggest: Suggest(name, sorted(s.Spec.Switches))})
		}
		for _, key := range sorted(sw.Env) {
			if first := setBy[key]; first != "" && s.Spec.Switches[first].Env[key] != sw.Env[key] {
				ps = append(ps, Problem{Pos: place(name), Msg: fmt.Sprintf("switches: %s and %s do not go together: both set %s", first, name, key)})
			}
			setBy[key] = name
		}
	}
	return ps
}

// missing says why something is not there under the switches; "" if it is.
func missing(on []string, when, unless SwitchNames) string {
	for _, name := range when {
		if !slices.Contains(on, name) {
			return "it is there only with switch " + name
		}
	}
	for _, name := range unless {
		if slices.Contains(on, name) {
			return "it is not there with switch " + name
		}
	}
	return ""
}

func (s *System) switchServices(declared *System) {
	s.Spec.Services = map[string]Service{}
	for name, svc := range declared.Spec.Services {
		if why := missing(s.Switches, svc.When, svc.Unless); why != "" {
			for _, instance := range append(instanceNames(name, svc), name) {
				s.absent[instance] = why
			}
			continue
		}
		own := svc.Env
		svc.Env = map[string]string{}
		for _, sw := range s.Switches {
			maps.Copy(svc.Env, declared.Spec.Switches[sw].Env)
		}
		maps.Copy(svc.Env, own)
		s.Spec.Services[name] = svc
	}
}

// switchEdges leaves out also the edges of services that are not there.
func (s *System) switchEdges(declared *System) {
	protocol := ""
	for _, sw := range s.Switches {
		protocol = cmp.Or(declared.Spec.Switches[sw].Protocol, protocol)
	}
	s.Spec.Edges = nil
	for _, e := range declared.Spec.Edges {
		why := missing(s.Switches, e.When, e.Unless)
		for _, end := range []string{e.Caller, e.Callee} {
			if why == "" && s.absent[end] != "" {
				why = fmt.Sprintf("%s: %s", end, s.absent[end])
			}
		}
		if why != "" {
			s.absent[e.Name()] = why
			continue
		}
		if protocol != "" && e.Protocol == "http" && e.Caller != Client {
			e.Scheme, e.Protocol = e.Protocol, protocol
		}
		s.Spec.Edges = append(s.Spec.Edges, e)
	}
}

// switchLedger leaves out the books of services that are not there, and
// unions of nothing.
func (s *System) switchLedger(declared *System) {
	s.Spec.Ledger = map[string]Books{}
	gone := func(source string) string {
		keeper := declared.declaredName(declared.Spec.Ledger[source].Service)
		if s.absent[keeper] == "" {
			return ""
		}
		return keeper + ": " + s.absent[keeper]
	}
	for name, b := range declared.Spec.Ledger {
		b.Of = slices.DeleteFunc(slices.Clone(b.Of), func(source string) bool { return gone(source) != "" })
		switch {
		case gone(name) != "":
			s.absentBooks[name] = gone(name)
		case len(b.Of) == 0 && b.Service == "":
			s.absentBooks[name] = "none of its sources is there"
		default:
			s.Spec.Ledger[name] = b
		}
	}
}

// switchZones names the instances in each zone; a zone in which nothing is left
// is not there.
func (s *System) switchZones(declared *System) {
	s.Spec.Zones = map[string][]string{}
	for zone, names := range declared.Spec.Zones {
		for _, name := range names {
			s.Spec.Zones[zone] = append(s.Spec.Zones[zone], s.Instances(name)...)
		}
		if len(s.Spec.Zones[zone]) == 0 {
			delete(s.Spec.Zones, zone)
			s.absent[zone] = "nothing of it is there"
		}
	}
}
