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
	RetryWithoutBackoff  = "D01" // internal/policy/backoff.go
	UncappedRetry        = "D02" // internal/policy/retry.go
	RetryAtEachLayer     = "D03" // internal/policy/layers.go
	RetryRefusals        = "D04" // internal/policy/retryable.go
	NeverRetry           = "D05" // internal/policy/retryable.go
	RetryWithoutKey      = "D06" // internal/policy/key.go
	NoClientTimeout      = "D07" // internal/policy/timeout.go
	ImpatientCaller      = "D08" // orders/budget.go
	DeadlineIgnored      = "D09" // internal/deadline/deadline.go
	BreakerStaysOpen     = "D10" // internal/policy/breaker.go
	BreakerShared        = "D11" // internal/policy/scope.go
	BreakerMiscounts     = "D12" // internal/policy/countable.go
	NoDeadLetters        = "D13" // internal/bus/deadletter.go
	PoisonBlocksLane     = "D14" // internal/bus/lanes.go
	ReplayLoops          = "D15" // internal/bus/replay.go
	AckBeforeWork        = "D16" // internal/bus/ack.go
	RepeatEffects        = "D17" // notifications/mailbox.go
	RefundTwice          = "D18" // payments/refund.go
	CompensationInRAM    = "D19" // orders/compensation.go
	TimeoutMeansFailed   = "D20" // orders/unknown.go
	PublishWithoutOutbox = "D21" // orders/outbox.go
	StaleRegistry        = "D22" // internal/registry/evict.go
	ThunderingHerd       = "D23" // internal/call/dial.go
	SharedPool           = "D24" // internal/policy/bulkhead.go
	PoolLeak             = "D25" // internal/call/pool.go
	NoFencing            = "D26" // internal/leader/fence.go
	CacheStampede        = "D27" // internal/policy/cache.go
	FallbackToPrimary    = "D28" // payments/fallback.go
	UnboundedQueue       = "D29" // internal/service/shed.go
	WrongHealthChecks    = "D30" // internal/service/health.go
	PartialAsWhole       = "D31" // gateway/partial.go
	RetryKeepsState      = "D32" // orders/pricing.go
	StaleConnectionRetry = "D33" // internal/call/stale.go
	RelayOutOfOrder      = "D34" // orders/relay.go
	NoVersionCheck       = "D35" // internal/event/version.go
	ActOnExpired         = "D36" // internal/bus/ttl.go
	CanaryLooksAtAll     = "D37" // gateway/canary.go
	NoDrain              = "D38" // internal/service/drain.go
	CertificateLoadOnce  = "D39" // internal/identity/rotate.go
	ExpiredTokenPasses   = "D40" // gateway/jwt.go
)

const count = 40

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

var known = numbered(count)

// numbered is D01 to the n-th.
func numbered(n int) map[string]bool {
	names := map[string]bool{}
	for i := range n {
		names[fmt.Sprintf("D%02d", i+1)] = true
	}
	return names
}

// Has reports whether a defect is switched on.
func (s Set) Has(name string) bool { return s[name] }
