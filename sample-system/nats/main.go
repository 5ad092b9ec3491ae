// Package nats is one node of the bus: an embedded NATS server with JetStream.
package nats

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"squall/sample-system/internal/service"
)

// Setup runs a node. NATS_CLIENT and NATS_CLUSTER are the host:port it listens
// on, NATS_ROUTES the comma-separated host:port of all nodes.
func Setup(_ context.Context, h *service.Host) error {
	opts, err := options(h.Config)
	if err != nil {
		return err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("create nats server: %w", err)
	}
	l := logger{h.Logger, make(chan error, 1)}
	ns.SetLoggerV2(l, false, false, false)
	h.Check("cluster", true, func(context.Context) error { return ready(ns) })
	h.GaugeFunc("nats_client_connections", "Clients connected to this node.", nil, func() float64 { return float64(ns.NumClients()) })
	h.GaugeFunc("nats_meta_leader", "1 on the node that leads the cluster's metadata.", nil, func() float64 {
		if ns.JetStreamIsLeader() {
			return 1
		}
		return 0
	})
	h.Go("nats", func(ctx context.Context) (err error) {
		ns.Start()
		select {
		case <-ctx.Done():
		case err = <-l.fatal:
		}
		ns.Shutdown()
		ns.WaitForShutdown()
		return err
	})
	return nil
}
