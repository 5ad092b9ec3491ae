package faults

import "time"

// Delays are the delays that a stage delivered, in nanoseconds: what was, not
// what was asked for. Quantiles are exact to 1/32 of themselves.
type Delays struct {
	N   uint64        `json:"n"` // delayed pieces or requests
	P50 time.Duration `json:"p50"`
	P90 time.Duration `json:"p90"`
	P99 time.Duration `json:"p99"`
	Max time.Duration `json:"max"`
	Sum time.Duration `json:"sum"`
}
