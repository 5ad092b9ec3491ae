// Package registry is how the services of the shop find each other: each
// instance holds a lease on an entry in a NATS key-value bucket, and each client
// watches the entries of the service it calls and balances over them.
//
// The mechanisms: lease.go (an instance says that it is there), watch.go (a
// client's view, kept when the registry is away), evict.go (who leaves the view,
// and when not), balance.go (which instance takes the next call).
package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// leaseTime is how long an entry lives after its last renewal, and so how long
// a dead instance can stay in the clients' views. A renewal that is lost in a
// change of the bus's leader is repeated well before (lease.go).
const (
	leaseTime = 4 * time.Second
	renewal   = 1800 * time.Millisecond
)

// bucket is in memory: what it holds is four seconds old at most, and comes
// back by itself. In a cluster it has three replicas and outlives a node. The
// markers tell the watchers of a lease that ran out.
var bucket = jetstream.KeyValueConfig{
	Bucket: "registry", Description: "instances of the shop's services, each under a lease",
	TTL: leaseTime, LimitMarkerTTL: 10 * time.Second,
	Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20,
}

// ErrNone says that no instance can take the call.
var ErrNone = errors.New("no instance known")

// Instance is one process of a service, as its entry describes it.
type Instance struct {
	Service string `json:"service"`
	Name    string `json:"name"`    // SHOP_NAME, "payments-2"
	Addr    string `json:"addr"`    // host:port of business traffic
	Ops     string `json:"ops"`     // host:port of the operations listener
	Version string `json:"version"` // SHOP_VERSION
	// Weight is the capacity relative to siblings. 0 is dark: the instance takes
	// only calls that ask for it, such as a release's that is being tried.
	Weight int `json:"weight"`
}

// Target is an instance that was picked for one call.
type Target struct {
	Instance Instance
	Base     string          // URL of the way there, without a slash at its end
	Done     func(err error) // to be called when the call has ended; err: there was no answer
}

func key(service, name string) string { return service + "." + name }

// decode reads an entry. It comes over the network and is not trusted: one that
// makes no sense is refused.
func decode(key string, value []byte) (Instance, error) {
	var i Instance
	if err := json.Unmarshal(value, &i); err != nil {
		return Instance{}, fmt.Errorf("entry %s: %w", key, err)
	}
	if i.Name == "" || key != i.Service+"."+i.Name {
		return Instance{}, fmt.Errorf("entry %s: is of %q", key, i.Service+"."+i.Name)
	}
	if _, _, err := net.SplitHostPort(i.Addr); err != nil {
		return Instance{}, fmt.Errorf("entry %s: %w, want host:port", key, err)
	}
	i.Weight = min(max(i.Weight, 0), maxWeight)
	return i, nil
}

const maxWeight = 1000
