// A client's view of the instances of one service.
//
// Answers: the registry must not be needed for a call. The view is kept up by a
// watch; when the registry cannot be reached, calls go on with the last known
// addresses, at first those of the environment.
// Numbers: each live instance renews its entry every 1.8 s, so a watch that is
// silent for as long as a lease (4 s) has broken, or nobody is alive; either
// way the client asks anew. That also finds a registry that lost its memory.
// Costs: per client and service one consumer on the bus and, per instance, one
// message every 1.8 s.
// Breaks without it: TestRegistryAway, TestRegistryLosesANode.
// Off switch: none of its own; see D22 in evict.go.

package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// Resolver knows the instances of one service.
type Resolver struct {
	view *view

	h       *service.Host
	bus     *bus.Bus
	callee  string
	current atomic.Bool // the watch is up
}

// NewResolver is the view of h on a service. addresses is the comma-separated
// list of its environment: the first known instances, and the way to each (the
// n-th address to instance n). b nil: they are all there is, for good. There is
// one resolver for each callee; asking for it again returns it.
func NewResolver(h *service.Host, b *bus.Bus, callee, addresses string) *Resolver {
	return service.Shared(h, "registry "+callee, func() *Resolver {
		r := &Resolver{
			view: newView(newWays(callee, addresses, h.Getenv), h.Defects),
			h:    h, bus: b, callee: callee,
		}
		r.measure(h)
		if b != nil {
			h.Go("registry watch "+callee, r.follow)
		}
		return r
	})
}

// Instances are those that may be called now, by name: alive as far as is
// known. When the registry cannot be reached, the last known ones.
func (r *Resolver) Instances() []Instance {
	list, _ := r.view.instances(time.Now())
	return list
}

func (r *Resolver) measure(h *service.Host) {
	labels := prometheus.Labels{"callee": r.callee}
	h.GaugeFunc("registry_instances", "Instances of a service that this client may call.", labels, func() float64 {
		return float64(len(r.Instances()))
	})
	h.GaugeFunc("registry_stale", "1 while the view on a service is only the last known one, or kept against the registry.", labels, func() float64 {
		if r.stale() {
			return 1
		}
		return 0
	})
}

func (r *Resolver) stale() bool {
	if r.bus == nil {
		return false // a fixed list is always right
	}
	_, panicking := r.view.instances(time.Now())
	return panicking || !r.current.Load() || !r.bus.Connected()
}

// follow watches until ctx ends, again and again.
func (r *Resolver) follow(ctx context.Context) error {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 0; ; {
		err := r.watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errSilent) {
			failures = 0
			continue
		}
		r.current.Store(false)
		if failures++; failures%10 == 1 {
			r.h.Logger.Warn("registry not watched", "callee", r.callee, "error", err)
		}
		if backoff.Wait(ctx, pause.Delay(failures), nil) != nil {
			return nil
		}
	}
}

var errSilent = errors.New("silent for longer than a lease")

// watch applies what happens in the registry until it falls silent.
func (r *Resolver) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := r.open(ctx, cancel)
	if err != nil {
		return err
	}
	// Not stopped here: its context does that, and nobody waits for a bus that is away.
	first := map[string]bool{} // entries that were there when the watch began
	silence := time.NewTimer(leaseTime)
	defer silence.Stop()
	for {
		select {
		case entry, open := <-w.Updates():
			if !open {
				return errors.New("the watch was closed")
			}
			if entry == nil { // the beginning is complete
				r.view.only(first, time.Now())
				r.current.Store(true)
				first = nil
				continue
			}
			r.apply(entry, first)
			silence.Reset(leaseTime)
		case <-silence.C:
			return errSilent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open starts a watch that ends with ctx. A bus that has no leader at the
// moment loses the request without an answer, so it is called off after a while.
func (r *Resolver) open(ctx context.Context, cancel context.CancelFunc) (jetstream.KeyWatcher, error) {
	late := time.AfterFunc(leaseTime, cancel)
	kv, err := r.bus.Bucket(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	w, err := kv.Watch(ctx, r.callee+".*")
	if err != nil {
		return nil, fmt.Errorf("watch bucket: %w", err)
	}
	if !late.Stop() {
		return nil, errors.Join(context.DeadlineExceeded, w.Stop())
	}
	return w, nil
}

// apply takes one change into the view; first collects the entries that are
// there, nil later.
func (r *Resolver) apply(entry jetstream.KeyValueEntry, first map[string]bool) {
	name := strings.TrimPrefix(entry.Key(), r.callee+".")
	if op := entry.Operation(); op != jetstream.KeyValuePut {
		r.view.left(name, op == jetstream.KeyValueDelete, time.Now())
		return
	}
	i, err := decode(entry.Key(), entry.Value())
	if err != nil {
		r.h.Logger.Warn("registry entry refused", "error", err)
		return
	}
	r.view.seen(i)
	if first != nil {
		first[name] = true
	}
}

func (r *Resolver) target(m *member, done func(error)) Target {
	r.view.mu.Lock()
	defer r.view.mu.Unlock()
	return Target{Instance: m.Instance, Base: m.base, Done: done}
}
