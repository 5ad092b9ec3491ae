package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"squall/faults"
)

// hold is what a fault has the supervisor do to a service, at work.
type hold interface {
	// status measures.
	status(ctx context.Context) (faults.Evidence, error)
	// stop ends what the hold does by itself, and waits for that. Idempotent.
	stop()
	// release undoes what it did, once stopped. After an error it may be called again.
	release(ctx context.Context) error
}

// held is a hold under its name.
type held struct {
	owner string
	ends  time.Time // of its lease; zero: none. Guarded by holds.mu

	mu   sync.Mutex // held while it is made and released, which may take a while
	hold hold       // nil before and after
}

// holds are those on one service.
type holds struct {
	mu   sync.Mutex
	byID map[string]*held
	over bool // the environment is ending
}

// leaseEvery is how often leases are looked at, holdWithin how long a hold may
// take to be made or undone: that may be the start of a service.
const (
	leaseEvery = 50 * time.Millisecond
	holdWithin = 30 * time.Second
)

// hold puts a hold on a service.
func (k *keeper) hold(ctx context.Context, name, id string, h faults.Hold) error {
	s, err := k.find(name)
	if err != nil {
		return err
	}
	x := &held{owner: h.Owner}
	if h.Lease > 0 {
		x.ends = time.Now().Add(h.Lease)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := s.holds.enter(id, x); err != nil {
		return fmt.Errorf("hold %s on %s: %w", id, name, err)
	}
	if x.hold, err = k.newHold(ctx, s, id, h); err != nil {
		s.holds.leave(id)
		return fmt.Errorf("hold %s on %s: %w", id, name, err)
	}
	return nil
}

func (h *holds) enter(id string, x *held) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return errEnding
	}
	if h.byID[id] != nil {
		return errors.New("there is one of that name")
	}
	if h.byID == nil {
		h.byID = map[string]*held{}
	}
	h.byID[id] = x
	return nil
}

func (h *holds) leave(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.byID, id)
}

func (k *keeper) newHold(ctx context.Context, s *service, id string, h faults.Hold) (hold, error) {
	container := s.launch.Container
	switch {
	case container != "" && (h.CPU > 0 || h.Memory != nil):
		return newQuota(ctx, container, h)
	case h.Cycle != nil:
		return newCycle(ctx, k, s, *h.Cycle)
	case h.CPU > 0:
		return newThrottle(s, h.CPU), nil
	case h.Memory != nil:
		return newMemoryLimit(ctx, k, s, *h.Memory)
	case h.Clock != 0:
		return newSkew(s.clock, h.Clock)
	case h.Disk != nil:
		return newDiskHold(ctx, k, s, id, *h.Disk, h.Seed)
	case h.Guard != nil:
		return &guard{Guard: *h.Guard, keep: k, svc: s}, nil
	}
	return nil, errors.New("it is empty")
}

func (h *holds) find(id string) *held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byID[id]
}

// unhold undoes a hold; one that is not there is undone.
func (k *keeper) unhold(ctx context.Context, name, id string) error {
	s, err := k.find(name)
	if err != nil {
		return err
	}
	x := s.holds.find(id)
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hold == nil {
		return nil // another was faster, or it was never made
	}
	x.hold.stop()
	if err := x.hold.release(ctx); err != nil {
		return fmt.Errorf("undo hold %s on %s: %w", id, name, err)
	}
	x.hold = nil
	s.holds.leave(id)
	return nil
}

func (k *keeper) holdStatus(ctx context.Context, name, id string) (faults.Evidence, error) {
	s, err := k.find(name)
	if err != nil {
		return faults.Evidence{}, err
	}
	x := s.holds.find(id)
	if x == nil {
		return faults.Evidence{}, faults.ErrNoHold
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hold == nil {
		return faults.Evidence{}, faults.ErrNoHold
	}
	return x.hold.status(ctx)
}

// renewHolds is the heartbeat of an owner.
func (k *keeper) renewHolds(owner string, lease time.Duration) {
	for _, s := range k.services {
		s.holds.mu.Lock()
		for _, x := range s.holds.byID {
			if x.owner == owner && !x.ends.IsZero() {
				x.ends = time.Now().Add(lease)
			}
		}
		s.holds.mu.Unlock()
	}
}

// ended lists the holds whose lease is over.
func (h *holds) ended() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, x := range h.byID {
		if !x.ends.IsZero() && time.Now().After(x.ends) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (h *holds) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.byID))
}

// expire undoes holds whose lease is over, until ctx ends.
func (k *keeper) expire(ctx context.Context) {
	for pause(ctx, leaseEvery) {
		for name, s := range k.services {
			for _, id := range s.holds.ended() {
				bounded, cancel := context.WithTimeout(ctx, holdWithin)
				_ = k.unhold(bounded, name, id) // tried again the next time
				cancel()
			}
		}
	}
}

// drop stops all holds on a service that is to end; nothing is undone any more,
// it goes with the environment.
func (h *holds) drop() {
	h.mu.Lock()
	h.over = true
	all := slices.Collect(maps.Values(h.byID))
	h.mu.Unlock()
	for _, x := range all {
		x.mu.Lock()
		if x.hold != nil {
			x.hold.stop()
		}
		x.mu.Unlock()
	}
}
