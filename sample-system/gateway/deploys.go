// Shared state of deployments.
//
// Answers: several gateways that must split traffic the same way, and a rollback
// that one of them decides while the store is away. Each decision is an entry in
// a NATS key-value bucket, written by compare-and-set on its revision; every
// gateway watches the bucket and keeps the last it has seen. A rollback takes
// effect here at once, and is written until it is there.
// Numbers: 64 decisions are kept for each service, as its history; written to
// disk three times, since a forgotten rollback would bring the bad version back.
// A decision reaches the other gateways in milliseconds, or within 2 s when the
// watch has lost its node of the bus.
// Costs: a gateway that has not yet read the bucket sends to any version that is
// not dark (SHOP_WEIGHT=0), for the first moments after its start.
// Breaks without it: TestDeploysAreShared. No off switch.

package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

var deploysBucket = jetstream.KeyValueConfig{
	Bucket: "deploys", Description: "how the gateways split traffic, and why",
	History: 64, MaxBytes: 16 << 20, Storage: jetstream.FileStorage,
}

// State is one decision on how traffic is split from then on.
type State struct {
	Live    string    `json:"live,omitempty"`    // version that gets what the canary does not; "": all but the canary
	Canary  *Canary   `json:"canary,omitempty"`  // version on trial
	Percent int       `json:"percent,omitempty"` // of the customers, for a migration
	By      string    `json:"by"`                // operator, or the instance that rolled back
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Canary is a version that gets a share of the requests.
type Canary struct {
	Version string `json:"version"`
	Weight  int    `json:"weight"` // percent
}

var (
	errNoStore  = service.Problem{Status: 503, Title: "deployments cannot be changed", Detail: "the store of decisions is not reachable"}.NotExecuted()
	errConflict = service.Problem{Status: 409, Title: "somebody else is changing this"}
)

// revision is a state and where it stands in the bucket; 0: nowhere yet.
type revision struct {
	State
	number uint64
}

type deploys struct {
	bus  *bus.Bus
	keys []string // that there may be decisions on
	by   string
	log  *slog.Logger

	mu     sync.RWMutex
	kv     jetstream.KeyValue // nil until the bucket is there
	states map[string]revision
	due    map[string]func(*State) bool // rollbacks still to be written
	wake   chan struct{}
}

// refreshEvery is how often the entries are read although none was announced.
const refreshEvery = 2 * time.Second

// newDeploys follows the decisions on the given keys.
func newDeploys(h *service.Host, b *bus.Bus, keys ...string) *deploys {
	d := &deploys{bus: b, keys: keys, by: h.Name, log: h.Logger, states: map[string]revision{}, due: map[string]func(*State) bool{}, wake: make(chan struct{}, 1)}
	h.Go("deploys", d.watch)
	h.Go("rollbacks", d.writeDue)
	return d
}

// state is the last decision known under a key, and whether there ever was one.
func (d *deploys) state(key string) (State, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r, ok := d.states[key]
	return r.State, ok
}

func (d *deploys) apply(key string, s State, number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if number > d.states[key].number {
		d.states[key] = revision{s, number}
	}
}

func (d *deploys) store() (jetstream.KeyValue, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.kv == nil {
		return nil, errNoStore
	}
	return d.kv, nil
}

// decide writes the state that change makes of the current one; change says
// whether there is anything to write.
func (d *deploys) decide(ctx context.Context, key string, change func(*State) bool) (State, error) {
	kv, err := d.store()
	if err != nil {
		return State{}, err
	}
	for range 5 {
		s, number, err := read(ctx, kv, key)
		if err != nil {
			return State{}, errors.Join(errNoStore, err)
		}
		if !change(&s) {
			return s, nil
		}
		s.At = time.Now()
		number, err = write(ctx, kv, key, s, number)
		switch {
		case errors.Is(err, jetstream.ErrKeyExists): // another gateway was first: look again
		case err != nil:
			return State{}, errors.Join(errNoStore, err)
		default:
			d.log.Info("deployment decided", "key", key, "state", s)
			d.apply(key, s, number)
			return s, nil
		}
	}
	return State{}, errConflict
}

func read(ctx context.Context, kv jetstream.KeyValue, key string) (State, uint64, error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return State{}, 0, nil
	}
	if err != nil {
		return State{}, 0, fmt.Errorf("read deployment %s: %w", key, err)
	}
	s, err := decodeState(entry.Value())
	return s, entry.Revision(), err
}

// write fails with ErrKeyExists unless number is still the last revision.
func write(ctx context.Context, kv jetstream.KeyValue, key string, s State, number uint64) (uint64, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("encode deployment %s: %w", key, err)
	}
	if number == 0 {
		number, err = kv.Create(ctx, key, value)
	} else {
		number, err = kv.Update(ctx, key, value, number)
	}
	if err != nil {
		return 0, fmt.Errorf("write deployment %s: %w", key, err)
	}
	return number, nil
}

// decodeState reads an entry. What another process wrote is checked like any input.
func decodeState(value []byte) (State, error) {
	var s State
	if err := json.Unmarshal(value, &s); err != nil {
		return State{}, fmt.Errorf("decode deployment: %w", err)
	}
	if s.Percent < 0 || s.Percent > 100 || s.Canary != nil && (s.Canary.Weight < 0 || s.Canary.Weight > 100 || !service.ValidID(s.Canary.Version)) {
		return State{}, fmt.Errorf("decode deployment: out of range: %s", value)
	}
	return s, nil
}
