// Package leader lets one of several instances do what must be done by one at a
// time: elected by a lease in a NATS key-value bucket (election.go), and kept
// from writing once another one has taken over (fence.go).
package leader

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A leader leads for leaseTime after its last renewal. One renewal may be lost,
// for it is repeated before the leader stops (early, in fence.go); who waits looks
// often enough that a dead leader is replaced 4 s later.
const (
	leaseTime = 3 * time.Second
	renewal   = leaseTime / 3 // also the longest that an answer may take
	again     = leaseTime / 30
	look      = leaseTime / 3
)

// bucket is in files, for terms must go on rising after the whole bus was
// restarted.
var bucket = jetstream.KeyValueConfig{
	Bucket: "leaders", Description: "who leads, under a lease",
	TTL: leaseTime, LimitMarkerTTL: 10 * time.Second,
	Storage: jetstream.FileStorage, MaxBytes: 1 << 20,
}

// record is the value of an election's key.
type record struct {
	Holder string `json:"holder"`
	Term   int64  `json:"term,omitempty"` // absent where a term begins: then it is the entry's revision
}
