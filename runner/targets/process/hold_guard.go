package process

import (
	"context"
	"errors"

	"squall/faults"
)

// guard restores a service that a fault has stopped or ended by a signal.
type guard struct {
	faults.Guard
	keep *keeper
	svc  *service
}

func (g *guard) status(context.Context) (faults.Evidence, error) {
	return faults.Evidence{Active: true}, nil
}

func (g *guard) stop() {}

func (g *guard) release(ctx context.Context) error {
	name := g.svc.launch.Name
	if g.Start {
		return g.keep.start(ctx, name)
	}
	if c := g.svc.current(); c == nil || c.id != g.Process || c.state() != stateStopped {
		return nil
	}
	if err := g.keep.signal(name, g.Process, "CONT"); !errors.Is(err, faults.ErrNotRunning) {
		return err
	}
	return nil
}
