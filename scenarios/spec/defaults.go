package spec

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// fillDefaults gives every service of a system file the fields of
// spec.defaults that it does not have, as if they had been written there: so a
// mistake in them has its place, and what a service gives, even if it is what
// would be filled in anyway, is its own.
func fillDefaults(file string, root *yaml.Node) Problems {
	defaults, services := at(root, "spec", "defaults"), at(root, "spec", "services")
	if defaults == nil || services == nil || defaults.Kind != yaml.MappingNode || services.Kind != yaml.MappingNode {
		return nil // what is wrong with them, decoding tells
	}
	if size(defaults, maxNodes)*len(services.Content) > maxNodes {
		return Problems{{Pos: Pos{file, defaults.Line, defaults.Column}, Msg: fmt.Sprintf("defaults: more than %d values once every service has them", maxNodes)}}
	}
	for i := 1; i < len(services.Content); i += 2 {
		service := resolve(services.Content[i])
		if key := services.Content[i-1]; service.Kind == yaml.MappingNode && key.ShortTag() != "!!merge" {
			services.Content[i] = filled(service, defaults)
		}
	}
	return nil
}

// filled is a copy of a service with the fields of defaults that it lacks, and
// the variables. What is no field of a service is told of defaults alone.
func filled(service, defaults *yaml.Node) *yaml.Node {
	known := names(fieldsOf(reflect.TypeFor[Service]()))
	out := *service
	out.Content = slices.Clone(service.Content)
	for _, d := range entries(defaults) {
		own := child(service, d.key.Value)
		switch {
		case !slices.Contains(known, d.key.Value):
		case own == nil:
			out.Content = append(out.Content, d.key, d.value)
		case d.key.Value == "env":
			put(&out, d.key, union(resolve(own), resolve(d.value)))
		}
	}
	return &out
}

// union is a mapping with the entries of another that it lacks.
func union(own, defaults *yaml.Node) *yaml.Node {
	if own.Kind != yaml.MappingNode || defaults.Kind != yaml.MappingNode {
		return own
	}
	out := *own
	out.Content = slices.Clone(own.Content)
	for _, d := range entries(defaults) {
		if child(own, d.key.Value) == nil {
			out.Content = append(out.Content, d.key, d.value)
		}
	}
	return &out
}

// put sets the value of a key, which may have been a merged one.
func put(n *yaml.Node, key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := resolve(n.Content[i]); k.Kind == yaml.ScalarNode && k.Value == key.Value {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, key, value)
}

// at is a node by its path; nil where there is none.
func at(n *yaml.Node, path ...string) *yaml.Node {
	n = resolve(n)
	for _, key := range path {
		if n = child(n, key); n == nil {
			return nil
		}
		n = resolve(n)
	}
	return n
}

// size is how many nodes there are, up to a limit.
func size(n *yaml.Node, most int) int {
	n = resolve(n)
	all := 1
	for _, c := range n.Content {
		if all += size(c, most); all > most {
			return all
		}
	}
	return all
}
