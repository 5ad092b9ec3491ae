package faults

import (
	"fmt"
	"maps"
	"slices"
)

// builtins is written by the init functions of the kind files and never after.
var builtins = map[string]Kind{}

func builtin(k Kind) {
	if _, dup := builtins[k.Name]; dup {
		panic("faults: kind registered twice: " + k.Name)
	}
	builtins[k.Name] = k
}

// Registry is a set of kinds by name.
type Registry map[string]Kind

// Builtin returns the kinds of this package.
func Builtin() Registry { return maps.Clone(builtins) }

// Names returns the names in order.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r)) }

// Kind returns the kind of that name.
func (r Registry) Kind(name string) (Kind, error) {
	k, ok := r[name]
	if !ok {
		return Kind{}, fmt.Errorf("unknown fault kind %q", name)
	}
	return k, nil
}
