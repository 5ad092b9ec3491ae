// The record: who is primary, under a lease.
//
// Answers: two nodes must agree on who takes writes, also when they cannot
// reach each other. One entry in a NATS key-value bucket says who is primary,
// and whether its standby has every acknowledged write; each change names the
// revision that it replaces, so of two that try only one succeeds. The primary
// renews the entry; the standby counts the time since it last changed by its own
// clock, so the clocks of the two need not agree.
// Numbers: lease 2.5 s, looked at and renewed every sixth of it (0.4 s): five
// renewals may be lost. The standby waits 0.4 s longer, the time the former
// primary has to stop. With promotion (0.3 s) and the clients' way to the other
// node that is a gap below 4 s.
// Costs: five small writes per 2 s. Without a bus that takes writes there is no
// primary.
// Breaks without it: TestFailover. No off switch.

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/bus"
)

const (
	leaseTime   = 2500 * time.Millisecond
	lookEvery   = leaseTime / 6
	leaseMargin = 400 * time.Millisecond
)

// The bucket is in files, as the data is: without the record nobody could tell
// which copy is the true one.
var bucket = jetstream.KeyValueConfig{
	Bucket: "postgres", Description: "who is primary", Storage: jetstream.FileStorage, MaxBytes: 1 << 20,
}

const recordKey = "primary"

// entry is what the record says.
type entry struct {
	Primary  string `json:"primary"`
	Term     int64  `json:"term"`               // rises with each new primary
	Sync     string `json:"sync,omitempty"`     // the standby that has every acknowledged write
	Released bool   `json:"released,omitempty"` // the primary has stopped in good order
}

func decode(b []byte) (entry, error) {
	var e entry
	if err := json.Unmarshal(b, &e); err != nil {
		return entry{}, fmt.Errorf("read record: %w", err)
	}
	if e.Primary == "" || e.Term < 1 || e.Sync == e.Primary {
		return entry{}, fmt.Errorf("read record: makes no sense: %q", b)
	}
	return e, nil
}

// record is a node's view of the entry.
type record struct {
	bus *bus.Bus
	kv  jetstream.KeyValue // of the agent's task alone; nil: to be opened
	own string

	mu       sync.Mutex
	entry    entry // zero: there is none, or it is not known yet
	revision uint64
	changed  time.Time // when the revision was first seen
	held     time.Time // until when the lease is ours; zero: it is not
}

var errNoRecord = errors.New("there is no record yet")

// look reads the entry; errNoRecord when there is none.
func (r *record) look(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	got, err := r.kv.Get(ctx, recordKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return errNoRecord
	}
	if err != nil {
		return fmt.Errorf("look at record: %w", err)
	}
	e, err := decode(got.Value())
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.Revision() > r.revision { // an older one comes from a node of the bus that lags
		r.entry, r.revision, r.changed = e, got.Revision(), time.Now()
	}
	return nil
}

// open is done once, before this node can hold anything.
func (r *record) open(ctx context.Context) error {
	if r.kv != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	kv, err := r.bus.Bucket(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket: %w", err)
	}
	r.kv = kv
	return nil
}

// write replaces the entry as it was last seen. If it is ours afterwards, so is
// the lease, counted from before the write was sent.
func (r *record) write(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	sent := time.Now()
	r.mu.Lock()
	revision := r.revision
	r.mu.Unlock()
	if revision == 0 {
		revision, err = r.kv.Create(ctx, recordKey, b)
	} else {
		revision, err = r.kv.Update(ctx, recordKey, b, revision)
	}
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry, r.revision, r.changed, r.held = e, revision, time.Now(), time.Time{}
	if e.Primary == r.own && !e.Released {
		r.held = sent.Add(leaseTime)
	}
	return nil
}

// now is the entry as it was last seen.
func (r *record) now() entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entry
}

// holds reports whether this node may take writes.
func (r *record) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.held)
}

// free reports whether the primary has stopped, or must have.
func (r *record) free() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entry.Released || time.Since(r.changed) > leaseTime+leaseMargin
}

// inSync reports whether the standby has every acknowledged write, as far as
// this node knows.
func (r *record) inSync() bool { return r.now().Sync != "" }
