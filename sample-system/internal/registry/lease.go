// Lease of an instance.
//
// Answers: an instance that dies, hangs or is cut off cannot say goodbye. Its
// entry lives by being renewed, so it ends by itself.
// Numbers: renewed every second, for three: two renewals may be lost. Until the
// first one has succeeded it is tried every 100 ms, for nobody sends traffic
// before. One that waits for an answer longer than a second has missed its turn.
// Costs: one write of about 150 bytes per instance and second, to three nodes.
// Breaks without it: TestDeadInstanceLeaves, TestDrainingInstanceLeaves; the
// scenarios tagged registry and rolling.
// Off switch: none of its own; under D22 (evict.go) clients ignore its end.

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// retryFirst spaces the attempts to register at all.
const retryFirst = 100 * time.Millisecond

// lease keeps one instance's entry alive.
type lease struct {
	h    *service.Host
	bus  *bus.Bus
	addr func() string

	mu    sync.Mutex         // held while a renewal is on its way
	kv    jetstream.KeyValue // nil: to be opened (again)
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
	pause, held := retryFirst, false
	for backoff.Wait(l.left, pause, nil) == nil {
		err := l.renew()
		switch {
		case err == nil && !held:
			l.h.Logger.Info("registered", "addr", l.addr())
		case err != nil && held && l.left.Err() == nil:
			l.h.Logger.Warn("lease not renewed", "error", err)
		}
		if held = err == nil; held {
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
	ctx, cancel := context.WithTimeout(l.left, renewal)
	defer cancel()
	if l.kv == nil {
		kv, err := l.bus.Bucket(ctx, bucket)
		if err != nil {
			return err
		}
		l.kv = kv
	}
	entry, err := json.Marshal(l.entry())
	if err != nil {
		return err
	}
	if _, err := l.kv.Put(ctx, key(l.h.Service, l.h.Name), entry); err != nil {
		l.kv = nil // it may be gone with its nodes' memory
		return err
	}
	return nil
}

func (l *lease) entry() Instance {
	return Instance{
		Service: l.h.Service, Name: l.h.Name, Version: l.h.Version, Weight: weight(l.h.Getenv),
		Addr: l.addr(), Ops: l.h.OpsAddr(),
	}
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
