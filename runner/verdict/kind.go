package verdict

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Kind describes one kind of check.
type Kind struct {
	Name    string // "breaker", the key in the scenario file
	Summary string // one line
	Doc     string // what is measured, what is too little evidence, what it cannot see
	Params  any    // zero value of the parameter struct: source of schema and reference

	// Bounds says whether atLeast, atMost, above and below go with this kind.
	Bounds BoundUse
	// During is the phase judged where the scenario names none; empty: the
	// baseline for steady state, else the fault.
	During string
	// Fixed kinds choose their own window: the scenario's during is refused.
	Fixed bool
	// MinSamples is the minimum where the scenario gives none.
	MinSamples int
	// NeedsBooks says that it is judged on what is complete only after the load: audit rows, logs.
	NeedsBooks bool
	// NeedsSpans says that it is judged on traces, which are collected only then.
	NeedsSpans bool

	// New decodes and checks the parameters, and notes each mistake in d; with any,
	// the checker is of no use. It touches nothing.
	New func(d *Declared) Checker
}

// BoundUse says how a kind treats the bounds of a check.
type BoundUse int

// The uses of bounds.
const (
	BoundsRefused BoundUse = iota
	BoundsOptional
	BoundsRequired
)

// Checker is a kind with its parameters.
type Checker interface {
	// Judge measures and fills the finding, whose identity, window and minimum
	// samples are set already. It only reads the view.
	Judge(ctx context.Context, v *View, f *Finding)
}

// builtins is written by the init functions of the kind files and never after.
var builtins = map[string]Kind{}

func builtin(k Kind) {
	if _, dup := builtins[k.Name]; dup {
		panic("verdict: kind registered twice: " + k.Name)
	}
	builtins[k.Name] = k
}

// Builtin returns the kinds of this package in order of their names.
func Builtin() []Kind {
	return slices.SortedFunc(maps.Values(builtins), func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
}
