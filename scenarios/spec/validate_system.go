package spec

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Client is the caller that stands for the load generator.
const Client = "client"

// reserved names have a meaning of their own in edges and references.
var reserved = map[string]string{
	Client: "the load generator",
	"self": "the service itself, in ${self.PORT}",
}

// words are what ${...} may hold that is no port of a service.
var words = []string{"name", "data", "shared", "dir"}

func (v *validator) system(s *System) {
	if compose := s.Spec.Target == TargetCompose; compose != (s.Spec.Compose != nil) {
		v.fail(v.root.At("spec", "target"), "compose: target compose, and no other, has a section compose that names its files")
	}
	for _, name := range sorted(s.Spec.Services) {
		v.service(name, s)
	}
	for _, e := range s.Spec.Edges {
		v.edge(e, s)
	}
	v.problems = append(v.problems, s.checkLinks()...)
	v.zones(s)
	v.limits(s)
	for _, name := range sorted(s.Spec.Switches) {
		v.switchEnv(name, s)
	}
	for _, name := range sorted(s.Spec.Ledger) {
		v.books(name, s)
	}
}

func (v *validator) service(name string, s *System) {
	svc := s.Spec.Services[name]
	at := func(path ...string) Pos {
		return v.root.At(append([]string{"spec", "services", name}, path...)...)
	}
	if meaning := reserved[name]; meaning != "" {
		v.fail(at(), "no service can be called %q: that is %s", name, meaning)
	}
	if (svc.Metrics != "" || svc.Ready.HTTP != "") && !slices.Contains(svc.Ports, svc.Port) {
		v.suggest(at("port"), Suggest(svc.Port, svc.Ports), "service %s has no port %s, from which metrics and readiness are read", name, quote(svc.Port))
	}
	if svc.Metrics != "" && s.Spec.Prometheus != nil {
		v.fail(at("metrics"), "metrics: of service %s they would be counted twice, since prometheus has them: leave one of the two out", name)
	}
	v.instances(name, svc, s)
	v.placed(name, svc, s, at)
	v.switches("service "+name, svc.When, svc.Unless, s, at)
	for i, arg := range svc.Command {
		v.references(name, arg, at("command", strconv.Itoa(i)), svc.condition(), s)
	}
	for i, arg := range svc.Ready.Command {
		v.references(name, arg, at("ready", "command", strconv.Itoa(i)), svc.condition(), s)
	}
	for _, key := range sorted(svc.Env) {
		v.references(name, svc.Env[key], at("env", key), svc.condition(), s)
	}
	v.serviceDefects(svc, s.Spec.Defects, at)
	if svc.Clock != nil && svc.Env[svc.Clock.Env] != "" {
		v.fail(at("env", svc.Clock.Env), "env: %s is set by clock: leave it out here", svc.Clock.Env)
	}
	for _, e := range s.Spec.Edges {
		if _, set := svc.Env[e.Env]; set && e.Caller == name {
			v.fail(at("env", e.Env), "env: %s is set by the edge %s: leave it out here", e.Env, e.Name())
		}
	}
}

func (v *validator) serviceDefects(svc Service, defects *Defects, at func(...string) Pos) {
	for i, d := range svc.Defects {
		pos := at("defects", strconv.Itoa(i))
		if defects == nil {
			v.fail(pos, "defects: %s is not known: the system has no section defects", quote(d))
		} else if _, known := defects.Known[d]; !known {
			v.suggest(pos, Suggest(d, sorted(defects.Known)), "defects: %s is not one of defects.known", quote(d))
		}
	}
}

// placeholder is ${...} in a command or variable; an unclosed one matches too.
var placeholder = regexp.MustCompile(`\$\{([^}]*)(\}?)`)

// references checks ${self.PORT}, ${SERVICE.PORT} and words
// in what is there under a condition: so must be what it names.
func (v *validator) references(self, text string, pos Pos, where condition, s *System) {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		name, port, dotted := strings.Cut(m[1], ".")
		if name == "self" {
			name = self
		}
		svc, known := s.Spec.Services[s.declaredName(name)]
		switch {
		case m[2] == "":
			v.fail(pos, "%s is not closed: write ${...}", quote(m[0]))
		case slices.Contains(words, m[1]):
		case !dotted:
			v.suggest(pos, Suggest(m[1], words), "${%s} means nothing: write ${name}, ${data}, ${shared}, ${dir}, ${self.PORT} or ${SERVICE.PORT}", m[1])
		case !known:
			v.suggest(pos, Suggest(name, sorted(s.Spec.Services)), "${%s} names no service", m[1])
		case !slices.Contains(svc.Ports, port):
			v.suggest(pos, Suggest(port, svc.Ports), "${%s}: service %s has no port %s", m[1], name, quote(port))
		case name != self && !where.implies(svc.condition()):
			v.fail(pos, "${%s}: service %s is not always there (%s)", m[1], name, svc.condition())
		}
	}
}

func (v *validator) edge(e Edge, s *System) {
	if e.Caller == "" { // malformed, reported already
		return
	}
	v.route(e, s)
	v.end(e, e.Caller, s, Client)
	v.end(e, e.Callee, s)
	v.switches("edge "+e.Name(), e.When, e.Unless, s, e.Src.At)
	if callee, ok := s.Spec.Services[e.Callee]; ok && !slices.Contains(callee.Ports, e.Port) {
		v.suggest(e.Src.At("port"), Suggest(e.Port, callee.Ports), "edge %s: service %s has no port %s", e.Name(), e.Callee, quote(e.Port))
	}
}

// end checks that one end of an edge is a service, or another word allowed there.
func (v *validator) end(e Edge, name string, s *System, others ...string) {
	if _, ok := s.Spec.Services[name]; ok || slices.Contains(others, name) {
		return
	}
	if of := s.declaredName(name); of != name {
		v.suggest(e.Pos, of, "edge %s: %s is one instance, an edge joins services", e.Name(), name)
		return
	}
	v.suggest(e.Pos, Suggest(name, append(sorted(s.Spec.Services), others...)), "edge %s: there is no service %s", e.Name(), quote(name))
}

// books are either an endpoint of a service or a union of other sources.
func (v *validator) books(name string, s *System) {
	b := s.Spec.Ledger[name]
	at := func(path ...string) Pos { return v.root.At(append([]string{"spec", "ledger", name}, path...)...) }
	if len(b.Of) > 0 {
		if b.Service != "" || b.Path != "" {
			v.fail(at(), "ledger %s: give either of, or service and path", name)
		}
		for i, source := range b.Of {
			v.source(name, source, at("of", strconv.Itoa(i)), s.Spec.Ledger)
		}
		return
	}
	if b.Service == "" || b.Path == "" {
		v.fail(at(), "ledger %s: needs service and path, or of", name)
	}
	svc, known := s.Spec.Services[s.declaredName(b.Service)]
	switch {
	case b.Service == "":
	case !known:
		v.suggest(at("service"), Suggest(b.Service, sorted(s.Spec.Services)), "ledger %s: there is no service %s", name, quote(b.Service))
	case !slices.Contains(svc.Ports, svc.Port):
		v.fail(at("service"), "ledger %s: service %s has no port %s to ask", name, b.Service, quote(svc.Port))
	}
}

// source is one that a union names: it must exist and be no union itself.
func (v *validator) source(union, name string, pos Pos, ledger map[string]Books) {
	b, known := ledger[name]
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(ledger)), func(s string) bool { return len(ledger[s].Of) > 0 })
	switch {
	case !known:
		v.suggest(pos, Suggest(name, others), "ledger %s: there is no source %s", union, quote(name))
	case len(b.Of) > 0:
		v.fail(pos, "ledger %s: %s is a union itself: name its sources", union, quote(name))
	}
}

// zones checks that a zone's name means nothing else, and that everything is in
// one place.
func (v *validator) zones(s *System) {
	placed := map[string]string{} // instance -> zone
	for _, zone := range sorted(s.Spec.Zones) {
		at := func(i int) Pos { return v.root.At("spec", "zones", zone, strconv.Itoa(i)) }
		if _, taken := s.Spec.Services[s.declaredName(zone)]; taken || reserved[zone] != "" {
			v.fail(v.root.At("spec", "zones", zone), "zones: the name %s is taken", zone)
		}
		for i, name := range s.Spec.Zones[zone] {
			of := s.declaredName(name)
			svc, known := s.Spec.Services[of]
			if !known {
				v.suggest(at(i), Suggest(name, sorted(s.Spec.Services)), "zones: there is no service %s", quote(name))
				continue
			}
			instances := []string{name}
			if of == name {
				instances = instanceNames(name, svc)
			}
			for _, instance := range instances {
				if other := placed[instance]; other != "" {
					v.fail(at(i), "zones: %s is in %s already", instance, other)
				}
				placed[instance] = zone
			}
		}
	}
}
