package process

import (
	"context"
	"errors"

	"squall/faults"
)

// diskHold is a rule of the disk process that serves the data of a service.
type diskHold struct {
	keep   *keeper
	volume string
	id     string // instances share a volume, and their holds may share a name
}

func newDiskHold(ctx context.Context, k *keeper, s *service, id string, rule faults.DiskRule, seed uint64) (*diskHold, error) {
	if !s.launch.Disk {
		return nil, errors.New("its data folder is an ordinary one: it was not started for disk faults")
	}
	if s.launch.Of != s.launch.Name {
		rule.Process = s.launch.Name
	}
	h := &diskHold{keep: k, volume: s.launch.Of, id: s.launch.Name + " " + id}
	return h, k.disk.Put(ctx, h.volume, h.id, rule, seed)
}

func (h *diskHold) status(ctx context.Context) (faults.Evidence, error) {
	e, err := h.keep.disk.Status(ctx, h.volume, h.id)
	if errors.Is(err, faults.ErrNoHold) || err != nil && h.gone() {
		return faults.Evidence{}, nil
	}
	return e, err
}

func (h *diskHold) stop() {}

func (h *diskHold) release(ctx context.Context) error {
	if err := h.keep.disk.Delete(ctx, h.volume, h.id); err != nil && !h.gone() {
		return err
	}
	return nil
}

// gone: a rule goes with its disk process, whose end is told as an event.
func (h *diskHold) gone() bool { return h.keep.states()[diskName].State == stateDead }
