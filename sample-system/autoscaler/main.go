// Package autoscaler starts further instances of a service when its load rises,
// and drains them when it has fallen, as a Kubernetes autoscaler does with pods.
// It is started only with the switch "autoscale".
package autoscaler

import (
	"cmp"
	"context"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

// Setup wires the autoscaler of SCALE_SERVICE (catalog), which finds its
// instances in the registry.
func Setup(_ context.Context, h *service.Host) error {
	p, err := settingsOf(h.Config)
	if err != nil {
		return err
	}
	b, err := bus.Connect(h)
	if err != nil {
		return err
	}
	watched := cmp.Or(h.Getenv("SCALE_SERVICE"), "catalog")
	f, err := newFleet(h, watched)
	if err != nil {
		return err
	}
	s := newScaler(h, watched, registry.NewResolver(h, b, watched, ""), f, p)
	h.Go("scale", s.run)
	h.HandleOps("GET /audit/scaling", s.book.handleAudit)
	return nil
}
