// Lease of an instance.
//
// Answers: an instance that dies, hangs or is cut off cannot say goodbye. Its
// entry lives by being renewed, so it ends by itself.
// Numbers: renewed every 1.8 s, for 4 s. One that has failed, or had no answer for
// a second, is repeated after 100 ms: one may be lost without harm, the next then
// has 1.1 s; and nobody sends traffic before the first. An instance that is not
// ready asks itself again as often.
// Costs: one write of about 150 bytes per instance and 1.8 s, to three nodes: in an
// idle shop most of what the bus does.
// Breaks without it: TestDeadInstanceLeaves, TestDrainingInstanceLeaves.
// Off switch: none of its own; under D22 (evict.go) clients ignore its end.

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

const (
	again  = 100 * time.Millisecond // the pause after a renewal that failed
	answer = time.Second            // how long one may take
)

// lease keeps one instance's entry alive.
type lease struct {
	h    *service.Host
	bus  *bus.Bus
	addr func() string

	mu    sync.Mutex         // held while a renewal is on its way
	kv    jetstream.KeyValue // nil: not opened yet
	lost  bool               // the bucket may be gone with its nodes' memory
	left  context.Context    // ends when the instance leaves
	leave context.CancelFunc
}

// Register enters the instance that h runs, at the address that addr tells once
// it listens: renewed while the instance is ready, removed when it drains. An
// instance that is not ready lets its lease run out, and comes back by itself.
func Register(h *service.Host, b *bus.Bus, addr func() string) {
	l := &lease{h: h, bus: b, addr: addr}
	l.left, l.leave = context.WithCancel(context.Background())
	h.OnDrain(l.remove)
	h.Go("registry lease", l.keep)
}

// keep renews the lease until ctx ends or the instance leaves.
func (l *lease) keep(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.leave)()
	pause, held := again, false
	for backoff.Wait(l.left, pause, nil) == nil {
		err := l.renew()
		switch {
		case err == nil && !held:
			l.h.Logger.Info("registered", "addr", l.addr())
		case err != nil && held && l.left.Err() == nil:
			l.h.Logger.Warn("lease not renewed", "error", err)
		}
		if pause, held = again, err == nil; held {
			pause = renewal
		}
	}
	return nil
}

func (l *lease) renew() error {
	if err := l.h.Ready(); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(l.left, answer)
	defer cancel()
	if l.kv == nil || l.lost {
		kv, err := l.bus.Bucket(ctx, bucket)
		if err != nil {
			return err
		}
		l.kv, l.lost = kv, false
	}
	entry, err := json.Marshal(l.entry())
	if err != nil {
		return err
	}
	_, err = l.kv.Put(ctx, key(l.h.Service, l.h.Name), entry)
	l.lost = err != nil
	return err
}

func (l *lease) entry() Instance {
	return Instance{
		Service: l.h.Service, Name: l.h.Name, Version: l.h.Version, Weight: weight(l.h.Getenv),
		Addr: reachable(l.addr()), Ops: reachable(l.h.OpsAddr()),
	}
}

// reachable is an address as others can dial it: who listens on all addresses of
// a machine is found by the machine's name, which in a container is known on its
// networks.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip, bad := netip.ParseAddr(host); err != nil || bad != nil || !ip.IsUnspecified() {
		return listen
	}
	name, err := os.Hostname()
	if err != nil {
		return listen
	}
	return net.JoinHostPort(name, port)
}

// remove ends the lease at once. A renewal that is on its way is called off
// first, and has arrived before, if it has arrived at all.
func (l *lease) remove(ctx context.Context) {
	l.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kv == nil {
		return
	}
	if err := l.kv.Delete(ctx, key(l.h.Service, l.h.Name)); err != nil {
		l.h.Logger.Warn("leaves the registry by its lease only", "error", err)
	}
}

// weight is SHOP_WEIGHT, 1 unless set.
func weight(getenv func(string) string) int {
	n, err := strconv.Atoi(getenv("SHOP_WEIGHT"))
	if err != nil {
		return 1
	}
	return min(max(n, 0), maxWeight)
}
