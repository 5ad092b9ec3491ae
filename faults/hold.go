package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Hold is what a supervisor does to one of its services on behalf of one fault,
// as Stage is what a link proxy does to an edge: it is data, and the supervisor
// knows of no kinds. Exactly one of the first six is set.
type Hold struct {
	Cycle  *Cycle        `json:"cycle,omitempty"`
	CPU    float64       `json:"cpu,omitempty"` // cores it may use on average
	Memory *MemoryRule   `json:"memory,omitempty"`
	Clock  time.Duration `json:"clock,omitempty"` // nanoseconds its clock is ahead; negative: behind
	Disk   *DiskRule     `json:"disk,omitempty"`
	Guard  *Guard        `json:"guard,omitempty"`

	Seed  uint64        `json:"seed,omitempty"`
	Owner string        `json:"owner,omitempty"` // the run; leases are renewed by owner
	Lease time.Duration `json:"lease,omitempty"` // nanoseconds; 0: none. Unrenewed, the hold is undone
}

// Guard does nothing to a service until it is undone: then the process that a
// fault has stopped is continued, or a service that it has ended is started. It
// is there for its lease, since a signal has none.
type Guard struct {
	Process ProcessID `json:"process"`
	Start   bool      `json:"start,omitempty"`
}

// Cycle ends a service and starts it again. Times are in nanoseconds.
type Cycle struct {
	Signal string        `json:"signal"`          // KILL or TERM
	Grace  time.Duration `json:"grace,omitempty"` // between TERM and KILL
	Down   time.Duration `json:"down,omitempty"`  // between its end and its next start
	Up     time.Duration `json:"up,omitempty"`    // between its being ready and its next end
	Times  uint64        `json:"times,omitempty"` // 0: as long as the hold stands
}

// MemoryRule limits what a service and its children use together.
type MemoryRule struct {
	Headroom uint64 `json:"headroom"` // bytes beyond what they use now
}

// DiskRule is what befalls operations on the data folder of a service.
type DiskRule struct {
	Full       bool            `json:"full,omitempty"`  // what needs more room fails with ENOSPC
	Delay      time.Duration   `json:"delay,omitempty"` // nanoseconds before an operation is carried out
	Jitter     time.Duration   `json:"jitter,omitempty"`
	Operations []DiskOperation `json:"operations,omitempty"` // that are delayed; none: all

	// Of the operations that are concerned, those are hit that Match chooses by
	// number and chance, at most Cap (0: no limit); Ramp is how long the delay grows
	// from nothing to full, or the share of what fails for want of room.
	Match Match         `json:"match,omitzero"`
	Cap   uint64        `json:"cap,omitempty"`
	Ramp  time.Duration `json:"ramp,omitempty"`

	Process string `json:"process,omitempty"` // only operations of this instance; set by the supervisor
}

// DiskOperation is one that a disk can be slow at.
type DiskOperation string

// The disk operations.
const (
	DiskRead  DiskOperation = "read"
	DiskWrite DiskOperation = "write"
	DiskSync  DiskOperation = "fsync"
)

// Holder is a service whose supervisor takes holds on it.
type Holder interface {
	Process
	// PutHold returns when the hold is in force; an id stands once.
	PutHold(ctx context.Context, id string, h Hold) error
	// DeleteHold returns when what it did is undone. It is idempotent.
	DeleteHold(ctx context.Context, id string) error
	// HoldStatus returns ErrNoHold when there is none of that id.
	HoldStatus(ctx context.Context, id string) (Evidence, error)
}

// ErrNoHold is returned for a hold that is not there (any more).
var ErrNoHold = errors.New("no such hold")

// holdFault is every fault that is nothing but a hold on a service.
type holdFault struct {
	says string
	hold Hold
}

// holdUndo is all that undoing a hold takes.
type holdUndo struct {
	Hold string `json:"hold"`
}

// Describe says the parameters in words.
func (f holdFault) Describe() string { return f.says }

// Prepare refuses a hold of that name that is not ours to replace.
func (f holdFault) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	h, err := holderOf(x.Target)
	if err != nil {
		return nil, err
	}
	switch _, err := h.HoldStatus(ctx, x.ID); {
	case err == nil:
		return nil, fmt.Errorf("hold %q is on %s already", x.ID, h.Name())
	case !errors.Is(err, ErrNoHold):
		return nil, err
	}
	return json.Marshal(holdUndo{Hold: x.ID})
}

// Inject puts the hold on the service.
func (f holdFault) Inject(ctx context.Context, x Injection) error {
	h, err := holderOf(x.Target)
	if err != nil {
		return err
	}
	hold := f.hold
	hold.Seed, hold.Owner, hold.Lease = x.Seed, x.Owner, x.Lease
	return h.PutHold(ctx, x.ID, hold)
}

// Observe reads what the supervisor measured.
func (f holdFault) Observe(ctx context.Context, x Injection) (Evidence, error) {
	h, err := holderOf(x.Target)
	if err != nil {
		return Evidence{}, err
	}
	e, err := h.HoldStatus(ctx, x.ID)
	if errors.Is(err, ErrNoHold) {
		return Evidence{}, nil
	}
	return e, err
}

// revertHold has the supervisor undo the hold; one that is gone, or went with
// its supervisor, is reverted.
func revertHold(ctx context.Context, x Injection, undo json.RawMessage) error {
	var u holdUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	h, err := holderOf(x.Target)
	if err != nil {
		return err
	}
	if err := h.DeleteHold(ctx, u.Hold); err != nil && !errors.Is(err, ErrNoHold) && !errors.Is(err, ErrGone) {
		return err
	}
	return nil
}

func holderOf(t Target) (Holder, error) {
	h, ok := t.(Holder)
	if !ok {
		return nil, fmt.Errorf("%s is no process of ours", t.Name())
	}
	return h, nil
}
