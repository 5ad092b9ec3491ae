package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a file makes us expand: a replica is a process, a link a proxy.
const (
	maxReplicas = 99 // as the tag of Service.Replicas says
	maxLinks    = 2000
)

// checkLinks refuses a system whose replicas make too many links of its edges.
func (s *System) checkLinks() Problems {
	links := 0
	for _, e := range s.Spec.Edges {
		links += len(instanceNames(e.Caller, s.Spec.Services[e.Caller])) * len(instanceNames(e.Callee, s.Spec.Services[e.Callee]))
	}
	if links <= maxLinks {
		return nil
	}
	return Problems{{Pos: s.src.At("spec", "edges"), Msg: fmt.Sprintf("edges: replicas make %d links of them, at most %d are possible", links, maxLinks)}}
}

// expand makes a service of every instance, and an edge of every pair of
// instances that an edge joins.
func (s *System) expand() {
	declared := s.Spec.Services
	s.Spec.Services = map[string]Service{}
	for name, svc := range declared {
		svc.Of = name
		for i, instance := range instanceNames(name, svc) {
			one := svc
			if svc.Replicas > 0 {
				one.Ordinal = i + 1
			}
			one.Command = slices.Clone(svc.Command)
			for i, arg := range one.Command {
				one.Command[i] = expandNames(arg, instance, declared)
			}
			one.Env = maps.Clone(svc.Env)
			for key, value := range one.Env {
				one.Env[key] = expandNames(value, instance, declared)
			}
			s.Spec.Services[instance] = one
		}
	}
	s.Spec.Edges = expandEdges(s.Spec.Edges, declared)
}

// instanceNames are the processes of a service, in the order of their numbers.
func instanceNames(name string, svc Service) []string {
	if svc.Replicas <= 0 {
		return []string{name}
	}
	names := make([]string, min(svc.Replicas, maxReplicas))
	for i := range names {
		names[i] = name + "-" + strconv.Itoa(i+1)
	}
	return names
}

// expandNames replaces ${name}, and ${SERVICE.PORT} of a service with replicas.
func expandNames(text, self string, services map[string]Service) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		inner := strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
		if inner == "name" {
			return self
		}
		service, port, _ := strings.Cut(inner, ".")
		if services[service].Replicas <= 0 {
			return found
		}
		all := instanceNames(service, services[service])
		for i, name := range all {
			all[i] = fmt.Sprintf("${%s.%s}", name, port)
		}
		return strings.Join(all, ",")
	})
}

// expandEdges keeps the order of the file, within an edge that of the numbers.
// An instance does not call itself.
func expandEdges(edges Edges, services map[string]Service) Edges {
	ends := func(name string) []string {
		if name == Client {
			return []string{Client}
		}
		return instanceNames(name, services[name])
	}
	var out Edges
	for _, e := range edges {
		for _, caller := range ends(e.Caller) {
			for _, callee := range ends(e.Callee) {
				if caller == callee && services[e.Callee].Replicas > 0 {
					continue
				}
				one := e
				one.Caller, one.Callee = caller, callee
				out = append(out, one)
			}
		}
	}
	return out
}

// Instances are the names of a service's instances in the order of their
// numbers; of an instance, its own; of a zone, those in it. Nil where there is
// none of that name.
func (s *System) Instances(name string) []string {
	if zone, is := s.Spec.Zones[name]; is {
		return slices.Clone(zone)
	}
	var out []string
	for instance := range s.Spec.Services {
		if instance == name || s.ServiceOf(instance) == name {
			out = append(out, instance)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Spec.Services[a].Ordinal, s.Spec.Services[b].Ordinal), strings.Compare(a, b))
	})
	return out
}

// ServiceOf is the service of an instance as the file declares it.
func (s *System) ServiceOf(instance string) string {
	return cmp.Or(s.Spec.Services[instance].Of, instance)
}

// EdgeOf is the edge of two instances as the file declares it.
func (s *System) EdgeOf(edge string) string {
	caller, callee, err := SplitEdge(edge)
	if err != nil {
		return edge
	}
	return Edge{Caller: s.ServiceOf(caller), Callee: s.ServiceOf(callee)}.Name()
}

// Declared are the names of services, or of edges, as the file declares them:
// services sorted, edges in the order of the file.
func (s *System) Declared() (services, edges []string) {
	for instance := range s.Spec.Services {
		services = append(services, s.ServiceOf(instance))
	}
	slices.Sort(services)
	for _, e := range s.Spec.Edges {
		if name := s.EdgeOf(e.Name()); !slices.Contains(edges, name) {
			edges = append(edges, name)
		}
	}
	return slices.Compact(services), edges
}

// declaredName is the service of an instance, in a system as declared: of
// "payments-2", payments. Any other name is itself.
func (s *System) declaredName(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if svc := s.Spec.Services[name[:i]]; svc.Replicas > 0 && slices.Contains(instanceNames(name[:i], svc), name) {
			return name[:i]
		}
	}
	return name
}
