// Package defect holds the off switches of the shop's resilience mechanisms.
// A defect changes only the file of its own mechanism; its name is the one in
// the defects map of system.yaml.
package defect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Defects, each beside the mechanism that it breaks.
const (
	UncappedRetry     = "D02" // orders/retry.go
	RetryWithoutKey   = "D06" // orders/retry.go
	NoClientTimeout   = "D07" // payments/timeout.go
	BreakerStaysOpen  = "D10" // payments/breaker.go
	NoDeadLetters     = "D13" // notifications/deadletter.go
	RefundTwice       = "D18" // payments/refund.go
	CompensationInRAM = "D19" // orders/compensation.go
	FallbackToPrimary = "D28" // payments/fallback.go
)

var known = map[string]bool{
	UncappedRetry: true, RetryWithoutKey: true, NoClientTimeout: true, BreakerStaysOpen: true,
	NoDeadLetters: true, RefundTwice: true, CompensationInRAM: true, FallbackToPrimary: true,
}

// Set is the defects that are switched on.
type Set map[string]bool

// Of builds a set from names that are known to be right, for tests.
func Of(names ...string) Set {
	s := Set{}
	for _, n := range names {
		s[n] = true
	}
	return s
}

// Parse reads a comma-separated list. An unknown name is an error: a defect
// that is silently ignored would make a scenario look stronger than it is.
func Parse(list string) (Set, error) {
	s := Set{}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if !known[name] {
			return nil, fmt.Errorf("defects: unknown %q, known are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		s[name] = true
	}
	return s, nil
}

// Has reports whether a defect is switched on.
func (s Set) Has(name string) bool { return s[name] }
